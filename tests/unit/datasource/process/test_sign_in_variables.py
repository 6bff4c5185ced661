"""What the settings of sign-in are called, in the code and for those who set them."""

import re

from datasource.process import sign_in_variables
from datasource.process.sign_in_variables import VARIABLES
from deploy.local.cache import REPOSITORY


def test_each_name_is_among_the_variables() -> None:
    named = [value for name, value in vars(sign_in_variables).items() if name.isupper() and isinstance(value, str)]
    assert sorted(named) == sorted(VARIABLES)


def test_docs_set_each_of_them_beside_the_flag_of_the_api_server() -> None:
    page = (REPOSITORY / "docs" / "sign-in.md").read_text()
    assert set(re.findall(r"\| `(DATASOURCE_SIGN_IN_\w+)` \|", page)) == set(VARIABLES)

"""One namespace that cannot be read stops only itself."""

import asyncio

from datasource_operator.served_scopes import Scope, ServedScopes, Source

SECRETS = (Source.CREDENTIALS, Source.TOKENS, Source.OTHER_TOKENS, Source.IMPORTS)


def list_all(served: ServedScopes, scope: Scope) -> None:
    for source in Source:
        served.listed(scope, source)


async def begins(served: ServedScopes) -> bool:
    try:
        async with asyncio.timeout(0):
            await served.may_begin()
    except TimeoutError:
        return False
    return True


def test_lists_that_were_not_read_are_named() -> None:
    served = ServedScopes((None,))
    secrets = "credential Secrets, import Secrets, token Secrets, token Secrets of other types"
    assert served.unready() == f"the lists of Datasources, {secrets} have not been read yet"
    for source in SECRETS:
        served.listed(None, source)
    assert served.unready() == "the lists of Datasources have not been read yet"
    served.listed(None, Source.DATASOURCES)
    assert served.unready() is None


def test_a_namespace_that_is_refused_keeps_no_other_waiting() -> None:
    served = ServedScopes(("good", "lost"))
    list_all(served, "good")
    assert served.unready() is not None
    served.refused("lost", Source.TOKENS, "403 Forbidden: no")
    assert served.unready() is None
    assert served.unreadable() == {"lost": "token Secrets: 403 Forbidden: no"}
    assert served.readable() == {"good": True, "lost": False}


def test_where_nothing_can_be_read_the_operator_is_not_ready() -> None:
    served = ServedScopes((None,))
    served.refused(None, Source.DATASOURCES, "403 Forbidden: no")
    assert served.unready() == "no namespace can be read: Datasources: 403 Forbidden: no"
    assert served.unreadable() == {"*": "Datasources: 403 Forbidden: no"}


async def test_work_begins_once_every_namespace_is_read_or_refused_and_one_is_read() -> None:
    served = ServedScopes(("good", "lost"))
    served.refused("lost", Source.CREDENTIALS, "403")
    assert not await begins(served)
    for source in SECRETS:
        served.listed("good", source)
    assert await begins(served)


async def test_work_does_not_begin_where_every_namespace_is_refused() -> None:
    served = ServedScopes(("lost", "gone"))
    for scope in served.scopes:
        served.refused(scope, Source.CREDENTIALS, "403")
    assert not await begins(served)


def test_nothing_is_concluded_from_secrets_that_were_never_listed() -> None:
    served = ServedScopes(("here", "there"))
    served.listed("here", Source.CREDENTIALS)
    assert not served.has_secrets_of("here")
    served.listed("here", Source.TOKENS)
    assert not served.has_secrets_of("here")
    served.listed("here", Source.OTHER_TOKENS)
    assert not served.has_secrets_of("here")
    served.listed("here", Source.IMPORTS)
    assert served.has_secrets_of("here")
    assert not served.has_secrets_of("there")
    everywhere = ServedScopes((None,))
    assert not everywhere.has_secrets_of("here")
    list_all(everywhere, None)
    assert everywhere.has_secrets_of("here")


def test_a_namespace_opens_with_its_last_list_and_again_after_a_refusal() -> None:
    opened: list[Scope] = []
    served = ServedScopes(("here",), opened.append)
    for source in SECRETS:
        served.listed("here", source)
    for source in SECRETS:
        served.listed("here", source)
    assert opened == ["here"]
    served.refused("here", Source.TOKENS, "403")
    served.refused("here", Source.TOKENS, "403 still")
    assert served.unreadable() == {"here": "token Secrets: 403 still"}
    assert served.has_secrets_of("here"), "what was known stays known"
    served.listed("here", Source.TOKENS)
    assert opened == ["here", "here"]
    assert served.unreadable() == {}

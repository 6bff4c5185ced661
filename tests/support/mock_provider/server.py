"""npm's oauth2-mock-server on loopback: no login, no rotation, signed id_tokens, and rules that are not ours."""

import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import npm, tools
from deploy.local.processes import Child, free_ports


class MockProvider:
    """Use it as a context manager. `issuer` tells its endpoints by OpenID Connect Discovery."""

    def __init__(self, log: Path) -> None:
        self.port = free_ports(1)[0]
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._child: Child | None = None

    def __enter__(self) -> Self:
        packages = npm.install(Path(__file__).parent, "a second provider")
        module = packages / "oauth2-mock-server" / "dist" / "index.mjs"
        # Its own program calls itself localhost, whatever it listens on.
        program = f"""
            import {{ OAuth2Server }} from "{module.as_uri()}";
            const server = new OAuth2Server();
            await server.issuer.keys.generate("RS256");
            await server.start({self.port}, "127.0.0.1");
            server.issuer.url = "{self.issuer}";
        """
        command: list[str | Path] = [tools.node().node, "--input-type=module", "--eval", program]
        self._child = Child("the second provider", command, self._log)
        self._child.start()
        self._child.wait_until_ready(self._is_healthy, seconds=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.stop()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=1.0) as answer:  # noqa: S310 - http on loopback
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

"""The image that keeps the namespaces of pods: one static program of ours."""

from pathlib import Path

from deploy.local import build
from deploy.local.cache import locked
from deploy.local.image.buildah import Buildah
from deploy.local.progress import Say, say

_USER = "65535:65535"


def pause_archive(name: str, out: Say = say) -> Path:
    """An archive of it, in the form of OCI; made once for each program."""
    module = build.pause()
    folder = module.built(out)
    archive = folder / "image.tar"
    with locked(folder, out):
        if not archive.exists():
            _make(Buildah(), folder / build.PAUSE.name, name, archive)
    return archive


def _make(buildah: Buildah, program: Path, name: str, archive: Path) -> None:
    container = buildah("from", "scratch")
    temporary = archive.with_suffix(".part")
    temporary.unlink(missing_ok=True)
    try:
        buildah("copy", "--quiet", container, program, "/pause")
        buildah("config", '--entrypoint=["/pause"]', f"--user={_USER}", container)
        buildah("commit", "--quiet", "--disable-compression", container, name)
        buildah("push", "--quiet", name, f"oci-archive:{temporary}:{name}")
        temporary.rename(archive)
    finally:
        buildah("rm", container)

"""I/O: `make release`."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from deploy.local import build
from deploy.local.cache import BUILD, REPOSITORY, locked
from deploy.local.progress import say
from generators import version
from release import changelog, chart, image, krew, origin, packages, program, provenance, sbom
from release.archives import Member, members_of, tar, tar_gz
from release.keys import private_key
from release.refusal import Refused, refusals
from release.settings import Settings
from release.signing import Signer
from release.source import Source, empty, export, refuse_another_tag

DIST = REPOSITORY / "dist"
CHECKSUMS = "checksums.txt"
_LOCKS = ("requirements/build.txt", "requirements/dev.txt", "requirements/plugin.txt", "requirements/run.txt")


class Release:
    """Writes a folder, file by file."""

    def __init__(self, source: Source, settings: Settings, folder: Path) -> None:
        self.source, self.settings, self.folder = source, settings, folder
        self.version, self.epoch = source.version, source.epoch
        # What nobody has written about is not released; so this comes before all that takes long.
        self._changes = changelog.section(self.version, (source.folder / "CHANGELOG.md").read_text("utf-8"))

    def write(self) -> None:
        """Everything but signatures."""
        self._write("RELEASE_NOTES.md", self._changes + "\n")
        self._packages()
        self._manifests()
        self._chart()
        self._plugin()
        self._image()

    def sign(self, signer: Signer) -> None:
        """Checksums, provenance, and the signature of each file, in two forms."""
        digests = self._digests()
        locks = {name: _sha256((self.source.folder / name).read_bytes()) for name in _LOCKS}
        told = provenance.statement(digests, self.settings, self.source.commit, locks)
        statement = json.dumps(told).encode()
        self._write("provenance.intoto.jsonl", signer.envelope(statement))
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self._digests().items())]
        self._write(CHECKSUMS, "".join(lines))
        for name in sorted(self._digests()):
            content = (self.folder / name).read_bytes()
            self._write(f"{name}.sig", signer.signature(content) + "\n")
            self._write(f"{name}.sigstore.json", signer.bundle(content))
        self._write("attestation.sigstore.json", signer.attestation(statement))
        self._write("release.pub", signer.public_key)

    def _packages(self) -> None:
        for project, lock in ((self.source.folder, "run.txt"), (self._plugin_project, "plugin.txt")):
            _, wheel = packages.build(project, self.folder, self.epoch)
            pins = (self.source.folder / "requirements" / lock).read_text("utf-8")
            subject = sbom.package(wheel.name.split("-")[0], self.version, license_="Apache-2.0")
            subject |= {"type": "application", "hashes": [{"alg": "SHA-256", "content": _sha256(wheel.read_bytes())}]}
            self._json(f"{wheel.name}.cdx.json", sbom.bill(subject, sbom.locked(pins), self.epoch))

    @property
    def _plugin_project(self) -> Path:
        return self.source.folder / "packages" / program.NAME

    def _manifests(self) -> None:
        deploy = self.source.folder / "deploy"
        text = (deploy / "install.yaml").read_text("utf-8")
        self._write("install.yaml", chart.install_yaml(text, self.version, self.settings))
        shutil.copy(self.source.folder / "crds" / "datasource.yaml", self.folder / "crd.yaml")
        shutil.copy(self.source.folder / "docs" / "icon.svg", self.folder / "icon.svg")

    def _chart(self) -> None:
        folder = self.source.folder / "deploy" / "chart"
        crd = yaml.safe_load((self.source.folder / "crds" / "datasource.yaml").read_text("utf-8"))
        changes = changelog.changes(self._changes)
        for name, made in (
            ("Chart.yaml", chart.chart_yaml((folder / "Chart.yaml").read_text("utf-8"), self.settings, changes, crd)),
            (
                "values.yaml",
                chart.values_yaml((folder / "values.yaml").read_text("utf-8"), self.version, self.settings),
            ),
        ):
            (folder / name).write_text(made, "utf-8")
        done = subprocess.run(  # noqa: S603
            [build.helm(), "package", str(folder), "--destination", str(self.folder)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise Refused(f"helm package: {done.stderr.strip()}")
        packed = self.folder / f"datasource-operator-{self.version}.tgz"
        # Helm writes the time of day into it.
        packed.write_bytes(tar_gz(members_of(packed.read_bytes()), self.epoch))

    def _plugin(self) -> None:
        (wheel,) = self.folder.glob("kubectl_datasource-*.whl")
        # Before what takes half a minute.
        others = program.archives_in(Path(self.settings.archives), self.version) if self.settings.archives else []
        archives = [program.archive(self.source, wheel, self.folder)]
        for given in others:
            if given.name != archives[0].name:
                archives.append(Path(shutil.copy(given, self.folder)))
        if not self.settings.download:
            say("      no manifest for krew: RELEASE_DOWNLOAD does not say where the archives will be")
            return
        digests = {each.name: _sha256(each.read_bytes()) for each in archives}
        self._write(
            "datasource.yaml", krew.manifest(self.version, digests, self.settings.download, self.settings.source)
        )

    def _image(self) -> None:
        if not self.settings.image:
            say("      no image in it: RELEASE_IMAGE names no OCI archive")
            return
        found = image.read(Path(self.settings.image))
        image.check_base(found, self.settings.bases)
        (wheel,) = self.folder.glob("datasource_operator-*.whl")
        origin.check(found, wheel, (self.source.folder / "requirements" / "run.txt").read_text("utf-8"))
        name = f"datasource-operator-{self.version}"
        members = _without_dates(found.members)
        if self.settings.repository:
            members = image.named(members, f"{self.settings.repository}:{self.version}")
        self._write(f"{name}.oci.tar", tar(members, self.epoch))
        for each in found.platforms:
            subject = {
                "type": "container",
                "bom-ref": f"image@{each.digest}",
                "name": self.settings.repository or "datasource-operator",
                "version": self.version,
                "hashes": [{"alg": "SHA-256", "content": each.digest.partition(":")[2]}],
            }
            on = each.platform.replace("/", "-")
            self._json(f"{name}-{on}.image.cdx.json", sbom.bill(subject, sbom.installed(each), self.epoch))
        say(f"      image {found.digest} for {', '.join(each.platform for each in found.platforms)}")

    def _write(self, name: str, content: str | bytes) -> None:
        (self.folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def _json(self, name: str, content: object) -> None:
        self._write(name, json.dumps(content, indent=1) + "\n")

    def _digests(self) -> dict[str, str]:
        return {each.name: _sha256(each.read_bytes()) for each in self.folder.iterdir()}


def _without_dates(members: Mapping[str, Member]) -> dict[str, Member]:
    return {name: Member(member.content) for name, member in members.items()}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Make dist/ anew."""
    settings = Settings.of(os.environ)
    settings.refuse_paths_in(DIST, BUILD / "release")
    settings.refuse_a_key_in(REPOSITORY)
    _refuse_what_stays(DIST)
    signer = Signer(private_key(Path(settings.key), settings.key_password))
    with locked(BUILD / "release", say):
        made = BUILD / "release" / "dist"
        empty(made)
        source = export(REPOSITORY, BUILD / "release" / "source")
        refuse_another_tag(REPOSITORY, source.version)
        refuse_other_versions(source)
        release = Release(source, settings, made)
        release.write()
        release.sign(signer)
        # Moved whole: a release that was refused leaves what was there.
        if DIST.exists():
            shutil.rmtree(DIST)
        shutil.move(made, DIST)
    say(f"      {len(list(DIST.iterdir()))} files of version {release.version} in {DIST}")
    say(f"      signed with the key whose release.pub has the SHA-256 {signer.fingerprint}")


def refuse_other_versions(source: Source) -> None:
    """The manifests would run the image of another version, or the plugin would say that it is one.

    Raises:
        Refused: with the first file that names another version than pyproject.toml.
    """
    stale = version.stale(source.folder, {**version.PLACES, **version.INSTALL_YAML})
    for path in sorted(stale):
        raise Refused(
            f"{path.relative_to(source.folder)} names another version than pyproject.toml, which has {source.version}. "
            "Type `make manifests`, and commit."
        )


def _refuse_what_stays(dist: Path) -> None:
    """A link would be followed, and what cannot be taken away would lie beside the new files."""
    if dist.is_symlink() or dist.is_mount() or (dist.exists() and not dist.is_dir()):
        raise Refused(f"{dist} is no folder of its own, and a release replaces it. Take it away, or move it.")


if __name__ == "__main__":
    with refusals():
        main()

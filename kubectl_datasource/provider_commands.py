"""I/O: `providers` and `create`, from the options to the exit code. What they say is in creating.py."""

from datasource.api.presets import PRESETS
from kubectl_datasource import creating
from kubectl_datasource.advice import Target
from kubectl_datasource.creating import Wanted, manifest, preset_named
from kubectl_datasource.exits import Exit
from kubectl_datasource.kubectl import Kubectl
from kubectl_datasource.screen import Screen
from kubectl_datasource.words import printable


def providers(name: str | None, output: str | None) -> Exit:
    """Tell what presets there are, or all that is known of one. No cluster is asked."""
    screen = Screen.of_process()
    if name is not None:
        preset = preset_named(name)
        screen.show_json(creating.as_json(name, preset)) if output == "json" else screen.show(*creating.told(name))
    elif output == "json":
        screen.show_json({"items": [creating.as_json(key, each) for key, each in PRESETS.items()]})
    else:
        screen.show(*creating.table())
    return Exit.FINE


def create(kubectl: Kubectl, wanted: Wanted, *, apply: bool) -> Exit:
    """Print the manifest of a Datasource, or apply it; to stderr, what is left to do."""
    # YAML takes longer to import than all the rest.
    import yaml

    screen = Screen.of_process()
    text = yaml.safe_dump(manifest(wanted), sort_keys=False, allow_unicode=True, width=float("inf"))
    if apply:
        screen.show(printable(kubectl.run("apply", "-f", "-", stdin=text).strip()))
    else:
        screen.show_text(text)
    for line in creating.next_steps(wanted, Target(kubectl.namespace, kubectl.flags)):
        screen.note(line)
    return Exit.FINE

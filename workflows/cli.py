"""The console command `microtome`. Imports next to nothing, so that help comes at once."""

import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from workflows.outcome import INTERRUPTED, USAGE
from workflows.registry import GROUPS, WORKFLOWS

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

ABOUT = """Cut whole-slide images into Zarr archives of patches.

Start with: microtome tile slides/ --out archive.zarr
"""


def main() -> None:
    """Run the command line of this process."""
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(run(sys.argv[1:]))


def _interrupt(*_: object) -> None:
    """End by SIGTERM (batch systems, containers) as cleanly as by Ctrl-C."""
    raise KeyboardInterrupt


def run(words: list[str]) -> int:
    """Run one command line; gives the exit code.

    0 all good, 2 wrong usage or a conflict before any work, 3 some slides or checks failed, 130
    stopped by Ctrl-C.
    """
    _set_up_logging(quiet="--quiet" in words)
    import cyclopts

    try:
        code = _app()(
            words,
            exit_on_error=False,
            print_error=False,
            verbose=False,
            result_action="return_value",
        )
    except KeyboardInterrupt:
        return _stop(
            "stopped; what is committed stays, the same command goes on", INTERRUPTED, words
        )
    except cyclopts.CycloptsError as err:
        return _stop(_usage_sentence(err), USAGE, words)
    except BrokenPipeError:  # `microtome ls … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _expected() as err:
        logging.getLogger(__name__).debug("refused", exc_info=True)
        return _stop(f"{err}", USAGE, words)
    return int(code or 0)


def _app() -> "App":
    from cyclopts import App

    def new_app(name: str, about: str) -> App:
        return App(
            name=name,
            help=about,
            help_format="plaintext",
            version_flags=(),
            suppress_keyboard_interrupt=False,
        )

    app = new_app("microtome", ABOUT)
    groups = {name: new_app(name, sentence) for name, sentence in GROUPS.items()}
    for group in groups.values():
        app.command(group)
    for name, workflow in WORKFLOWS.items():
        within, _, word = name.rpartition(" ")
        home = groups[within] if within else app
        target = f"workflows.commands:{name.replace(' ', '_')}"
        home.command(target, name=word, help=workflow.sentence)
    return app


def _expected() -> tuple[type[Exception], ...]:
    """Give the errors that are told in one sentence; asked for only when something was raised."""
    from models.errors import ModelError
    from tiling.errors import TilingError
    from workflows.errors import WorkflowError
    from wsi.errors import SlideError

    ours: tuple[type[Exception], ...] = (WorkflowError, ModelError, TilingError, SlideError)
    # an OSError is of a place that a person named: no permission, no network, no such bucket
    expected = (*ours, OSError)
    s3 = sys.modules.get("botocore.exceptions")  # no credentials, no such region; no OSErrors
    return expected if s3 is None else (*expected, s3.BotoCoreError)


def _stop(sentence: str, code: int, words: list[str]) -> int:
    sys.stderr.write(f"microtome: {sentence}\n")
    if "--json" in words:
        import json

        sys.stdout.write(json.dumps({"error": sentence, "exit_code": code}) + "\n")
    return code


def _usage_sentence(err: "CycloptsError") -> str:
    from cyclopts.exceptions import UnknownCommandError, UnknownOptionError

    from workflows.config import nearest

    if isinstance(err, UnknownOptionError):
        word = (err.token.keyword or err.token.value).split("=")[0]
        known = [name for argument in err.argument_collection for name in argument.names]
        return f"unknown option {word}; {nearest(word, [n for n in known if n[:2] == '--'])}"
    if isinstance(err, UnknownCommandError) and err.unused_tokens:
        word = err.unused_tokens[0]
        commands = [name.partition(" ")[0] for name in WORKFLOWS]
        return f"there is no command {word!r}; {nearest(word, dict.fromkeys(commands))}"
    return " ".join(str(err).split())


def _set_up_logging(*, quiet: bool) -> None:
    level: Any = os.environ.get("MICROTOME_LOG", "ERROR" if quiet else "WARNING").upper()
    logging.basicConfig(stream=sys.stderr, format="microtome: %(message)s")
    logging.getLogger().setLevel(level)  # of this command, whatever ran before it in this process
    for chatty in ("distributed", "tornado", "asyncio", "tifffile", "pydicom", "botocore"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


if __name__ == "__main__":
    main()

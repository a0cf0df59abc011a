"""What the page of a training says in words and tables."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from workflows.reporting.training_curves import SCORES, Line
from workflows.units import duration, plural

Document = Mapping[str, Any]


def title(document: Document) -> str:
    """Give a heading: of the encoder that came of it, or of the method."""
    card: Mapping[str, Any] = document.get("card") or {}
    if document.get("title") or card:
        return str(document.get("title") or f"Training of {card['name']}")
    return f"Training: {document['config'].get('method', 'an encoder')}"


def warnings(document: Document, lines: Sequence[Line]) -> list[str]:
    """Sentences that a person should read first, each once."""
    said = [*document.get("warnings", ()), *document.get("notes", ())]
    said += [line["text"] for line in lines if line["kind"] == "note"]
    if document.get("finished") is False:
        said.insert(0, "Not finished. Run the same command again to go on from the last state.")
    return list(dict.fromkeys(said))


def keys(document: Document, lines: Sequence[Line]) -> list[tuple[str, str, str]]:
    """Name, value and small print of what is told at the top."""
    steps = [line for line in lines if line["kind"] == "step"]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    data, training = document.get("data") or {}, document.get("training") or {}
    found = [
        ("Patches", count(data.get("patches")), _of(data)),
        ("Steps", count(document.get("step")), _of_steps(document, training)),
        (
            "Loss",
            decimals(_last(epochs or steps, "loss")),
            "of the last epoch" if epochs else "",
        ),
        *((one.name, decimals(_last(epochs, one.key)), one.small) for one in SCORES),
        ("Spread", decimals(_last(epochs, "std_of_best")), "of embeddings, 1 at best"),
        ("Patches per second", count(_middle(steps, "patches_per_s")), _waiting(steps)),
        ("Time", _time(document), str(document.get("device") or "")),
    ]
    return [(name, value, small) for name, value, small in found if value]


def advice(document: Document) -> str:
    """Say what shows whether it is any good, HTML."""
    if (document.get("card") or {}).get("role"):
        return "What it is worth is told by <code>microtome segment evaluate</code>."
    return (
        "A falling loss does not show that an encoder is good; <code>microtome probe</code> does."
    )


def _of(data: Mapping[str, Any]) -> str:
    words = [
        plural(data[f"{noun}s"], noun) for noun in ("slide", "patient") if data.get(f"{noun}s")
    ]
    return f"of {', '.join(words)}" if words else ""


def _of_steps(document: Document, training: Mapping[str, Any]) -> str:
    words = [f"of {document['steps']:,}"] if document.get("steps") else []
    if training.get("batch"):
        words.append(f"batch {training['batch']:,}")
    if training.get("epochs"):
        words.append(plural(training["epochs"], "epoch"))
    return ", ".join(words)


def _waiting(steps: Sequence[Line]) -> str:
    shares = [line["waiting"] for line in steps if line.get("waiting") is not None]
    return f"waiting for data {100 * fmean(shares):.1f} % of the time" if shares else ""


def _time(document: Document) -> str:
    seconds = document.get("wall_seconds") or document.get("seconds")
    return duration(seconds) if seconds else ""


def _last(lines: Sequence[Line], name: str) -> float | None:
    known = [line[name] for line in lines if line.get(name) is not None]
    return known[-1] if known else None


def _middle(lines: Sequence[Line], name: str) -> float | None:
    known = [line[name] for line in lines if line.get(name) is not None]
    return median(known) if known else None


def count(value: float | None) -> str:
    """Write a whole number; nothing where it is not known."""
    return "" if value is None else f"{value:,.0f}"


def decimals(value: float | None) -> str:
    """Write a number with three decimals; nothing where it is not known."""
    return "" if value is None else f"{value:.3f}"


def events(lines: Sequence[Line]) -> list[tuple[int, str]]:
    """Step and sentence of every start, resumption and note."""
    found = []
    for line in lines:
        if line["kind"] == "start":
            found.append((line["step"], "went on from a state" if line["step"] else "began"))
        elif line["kind"] == "note":
            found.append((line["step"], line["text"]))
    return found


def tables(document: Document) -> list[tuple[str, list[tuple[str, str]]]]:
    """Heading, and names with values, of every group of facts that is not empty."""
    machine = {name: document.get(name) for name in ("device", "processes")}
    groups = {
        "Encoder card": document.get("card"),
        "Data": document.get("data"),
        "Optimisation": document.get("training"),
        "Settings that were asked for": document["config"],
        "Machine and versions": {
            **{name: value for name, value in machine.items() if value is not None},
            **(document.get("hardware") or {}),
            **(document.get("versions") or {}),
        },
    }
    return [
        (heading, [(name, _told(value)) for name, value in facts.items()])
        for heading, facts in groups.items()
        if facts
    ]


def _told(value: Any) -> str:
    """Write a setting as a person reads it."""
    if value is None:
        return "–"  # noqa: RUF001 - a dash
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(inner)}" for name, inner in value.items()) or "–"  # noqa: RUF001
    if isinstance(value, list | tuple):
        return ", ".join(_told(inner) for inner in value) or "–"  # noqa: RUF001
    return f"{value:.6g}" if isinstance(value, float) else str(value)

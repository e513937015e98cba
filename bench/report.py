"""Writes a result as JSON, as a page of Markdown, and as plots. Every figure comes from the run; none is typed."""

import json
import statistics

import plot
from rounds import spread

# Of contenders: figure, heading, digits, factor.
COLUMNS = [
    ("per_second", "req/s", 0, 1),
    ("cpu_us", "CPU µs", 1, 1),
    ("p50_us", "p50 µs", 0, 1),
    ("p99_us", "p99 µs", 0, 1),
    ("p999_us", "p99.9 µs", 0, 1),
    ("peak_bytes", "peak MiB", 1, 1 / 2**20),
    ("busy", "busy %", 0, 100),
]


def write(result, folder):
    name = result["name"]
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(page(result, folder), encoding="utf-8")
    print(f"bench: wrote {folder / name}.md")


def page(result, folder):
    lines = [f"# {result['title']}", "", result["about"], ""]
    lines += TABLES[result["kind"]](result, folder)
    facts = result["machine"]
    lines += ["", f"{result['date']}, `{result['command']}`: {facts['processor']}, {facts['memory']}, {facts['kernel']}; "
              f"{facts['compiler']}; sidegate {facts['commit']}."]
    lines += [f"{name}: {version}." for name, version in result.get("versions", {}).items()]
    return "\n".join(lines) + "\n"


def proxies(result, folder):
    series = result["series"]
    values = {(one["name"], figure): [sample[figure] for sample in one["samples"]]
              for one in series for figure, *_ in COLUMNS}
    first = series[0]["name"]
    cpu_of_first = statistics.median(values[first, "cpu_us"])
    heads = [heading for _, heading, _, _ in COLUMNS]
    lines = [f"| | {' | '.join(heads)} | CPU × | CPU ± |", "| --- |" + " ---: |" * (len(heads) + 2)]
    for one in series:
        name = one["name"]
        cells = [f"{statistics.median(values[name, figure]) * factor:,.{digits}f}"
                 for figure, _, digits, factor in COLUMNS]
        ratio = statistics.median(values[name, "cpu_us"]) / cpu_of_first
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio:.2f} | {spread(values[name, 'cpu_us']):.0%} |")
    lines += ["", f"Medians of {result['rounds']} interleaved rounds. *CPU* is the time of the proxy process for each request "
              f"at full speed, *CPU ×* its ratio to {first}, *CPU ±* half its range over the rounds; latencies are taken "
              f"at {result['rate']:,} requests per second and count from the moment a request was due; *busy* is the "
              "share of its core that the proxy used at full speed."]
    if "verify_us" in result:
        lines += ["", f"The crypto library by itself takes {statistics.median(result['verify_us']):.1f} µs of CPU to verify the "
                  "signature of such a token."]
    bars = [(one["name"], values[one["name"], "cpu_us"]) for one in series]
    picture = f"{result['name']}-cpu.svg"
    (folder / picture).write_text(plot.bars("CPU µs of the proxy for each request", bars), encoding="utf-8")
    lines += ["", f"![CPU for each request]({picture})"]
    bars = [(one["name"], values[one["name"], "p99_us"]) for one in series]
    picture = f"{result['name']}-p99.svg"
    title = f"p99 latency in µs at {result['rate']:,} requests per second"
    (folder / picture).write_text(plot.bars(title, bars), encoding="utf-8")
    lines += ["", f"![p99 latency]({picture})"]
    return lines


def table(result, folder):
    """Rows of figures, each the median of its values; what a row has no value for stays empty."""
    columns = result["columns"]
    lines = [f"| | {' | '.join(heading for _, heading, _, _ in columns)} |", "| --- |" + " ---: |" * len(columns)]
    for row in result["rows"]:
        cells = [cell(row["values"].get(figure), digits, factor) for figure, _, digits, factor in columns]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    lines += ["", result["note"]]
    for figure, title in result["plots"]:
        rows = [(row["name"], row["values"][figure]) for row in result["rows"] if row["values"].get(figure)]
        picture = f"{result['name']}-{figure.replace('_', '-')}.svg"
        (folder / picture).write_text(plot.bars(title, rows), encoding="utf-8")
        lines += ["", f"![{title}]({picture})"]
    return lines


def cell(values, digits, factor):
    """With half the range, where it was measured several times."""
    if not values:
        return ""
    shown = f"{statistics.median(values) * factor:,.{digits}f}"
    return f"{shown} ± {spread(values):.0%}" if len(values) > 1 else shown


TABLES = {"proxies": proxies, "table": table}

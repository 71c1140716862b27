"""The arithmetic of the load harness: schedules, waits, conditions, and a checker that finds what was planted."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from kanad_server.load import BadScenario, Scenario
from kanad_server.load.checker import Fault, Seen, Story, StreamCheck, Violation
from kanad_server.load.conditions import parse_condition
from kanad_server.load.conductor import check_limits
from kanad_server.load.poster import parse_address
from kanad_server.load.report import clock_offset_ms, make_report, notes
from kanad_server.load.scenario import DEFAULTS, Kind, read_scenario
from kanad_server.load.schedule import Clock, arrivals
from kanad_server.load.tally import COUNTS, Tally, metric_names
from kanad_server.load.viewer import Frames, epoch
from kanad_server.load.ways import OVER, EventSource

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/load.md").read_text()
ID = "01a20e05-80cf-7c73-9770-ce50ccb74ea7"


def stream(length: int = 5) -> list[Seen]:
    """A stream as it should be, `length` events long."""
    middle = [Seen("convergence", ID, seq, f"t{seq}", energy_hartree=-1.0) for seq in range(2, length)]
    return [
        Seen("status", ID, 1, "t1", status="queued"),
        *middle,
        Seen("status", ID, length, f"t{length}", status="completed", energy_hartree=-1.0),
    ]


def faults(events: list[Seen], story: Story | None = None) -> list[Fault]:
    check = StreamCheck(story or Story(ID))
    return [violation.fault for violation in (*check.feed(events), *check.finish("closed"))]


# The checker


def test_a_whole_stream_has_no_faults_however_it_is_cut_into_frames() -> None:
    events = stream(50)
    check = StreamCheck(Story(ID))
    for start in range(0, 50, 7):
        assert check.feed(events[start : start + 7]) == []
    assert (check.finish("closed"), check.last_seq, check.ended) == ([], 50, True)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([1, 2, 4, 5], ["gap"]),
        ([2, 3, 4, 5], ["gap"]),
        ([1, 2, 2, 3, 4, 5], ["duplicate"]),
        ([1, 2, 3, 1, 4, 5], ["duplicate"]),
        ([1, 3, 2, 4, 5], ["gap", "reorder"]),
        ([1, 2, 3, 4, 5, 5], ["duplicate"]),
        ([1, 2, 3], ["missing_end"]),
        ([], ["missing_end"]),
    ],
)
def test_planted_faults_are_found(order: list[int], expected: list[Fault]) -> None:
    events = {event.seq: event for event in stream(5)}
    assert faults([events[seq] for seq in order]) == expected


def test_an_event_behind_the_terminal_one_is_found() -> None:
    assert faults([*stream(5), Seen("log", ID, 6, "t6")]) == ["after_end"]


def test_a_second_terminal_event_is_found() -> None:
    assert faults([*stream(5), Seen("status", ID, 6, "t6", status="failed")]) == ["after_end"]


def test_an_event_of_another_experiment_is_found() -> None:
    events = stream(5)
    events[2] = msgspec.structs.replace(events[2], experiment_id="other")
    assert faults(events) == ["foreign", "gap"]


def test_a_number_that_means_two_things_is_found() -> None:
    story = Story(ID)
    assert faults(stream(5), story) == []
    events = stream(5)
    events[2] = msgspec.structs.replace(events[2], energy_hartree=-2.0)
    assert faults(events, story) == ["changed"]


def test_an_energy_that_is_not_the_results_is_found() -> None:
    story = Story(ID)
    StreamCheck(story).feed(stream(5))
    assert list(story.compare_energy(-1.0)) == []
    assert [violation.fault for violation in story.compare_energy(-1.0000000001)] == ["energy"]


def test_a_violation_names_the_experiment_and_the_numbers() -> None:
    events = stream(9)
    (found,) = StreamCheck(Story(ID)).feed([*events[:3], *events[6:]])
    assert str(found) == f"gap: experiment {ID}: event 7 came behind 3; missing 4 to 6"


def test_a_frame_is_decoded_once_for_all_its_viewers() -> None:
    frames = Frames()
    body = (
        b'[{"type":"status","experiment_id":"a","attempt":1,"seq":1,"time":"2026-01-01T00:00:00.250Z",'
        b'"status":"queued","progress":0.0,"energy_hartree":null,"error":null}]'
    )
    first = frames.read(body)
    assert frames.read(bytes(bytearray(body))) is first
    assert (first.events[0].seq, first.events[0].is_end, first.times) == (1, False, [1767225600.25])
    with pytest.raises(msgspec.MsgspecError):
        frames.read(b"hello")


async def test_server_sent_events_are_read_however_they_are_cut() -> None:
    seen: list[bytes] = []
    body = [
        b"retry: 1000\n\n",
        b":\n\n",
        b'id: 1\ndata: {"a":1}\n\nid: 2\ndata: {"a":2}\n\n',
        b"id: 3\nda",
        b'ta: {"a":3}\n\n',
    ]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in body)
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    for step in (1, 7, len(answer)):
        seen.clear()
        source = EventSource(b"", seen.append)
        for start in range(0, len(answer), step):
            source.data_received(answer[start : start + step])
        assert [event["a"] for frame in seen for event in msgspec.json.decode(frame)] == [1, 2, 3]
        assert (source.opened.done(), source.closed.result()) == (True, OVER)


# Schedules


def test_a_constant_schedule_is_even() -> None:
    assert list(arrivals(4, 1.0, poisson=False, seed=0)) == [0.0, 0.25, 0.5, 0.75]
    assert list(arrivals(0, 1.0, poisson=False, seed=0)) == []


def test_a_poisson_schedule_has_the_rate_and_the_spread_of_one() -> None:
    moments = list(arrivals(100, 100.0, poisson=True, seed=7))
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert len(moments) == pytest.approx(10_000, rel=0.05)  # five standard deviations
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)
    assert moments == list(arrivals(100, 100.0, poisson=True, seed=7))
    assert moments != list(arrivals(100, 100.0, poisson=True, seed=8))


async def test_a_moment_that_nobody_was_free_for_keeps_its_time() -> None:
    """No coordinated omission: a server that stands still for a second makes what was due in it late, not absent."""
    started = time.perf_counter() - 1.0  # the only poster was held up for a second
    clock = Clock(arrivals(10, 1.0, poisson=False, seed=0), started)
    measured_from = [due - started async for due in clock]
    assert measured_from == pytest.approx([number / 10 for number in range(10)])


# Figures


def test_tallies_of_processes_add_up() -> None:
    tallies = [Tally(), Tally()]
    for number, tally in enumerate(tallies):
        for milliseconds in range(1, 101):
            tally.record("e2e", (milliseconds + 100 * number) / 1000)
        tally.counts["events"] += 10
        tally.error("http_500")
        tally.fault([Violation("gap", ID, 3, "planted")])
    whole = Tally()
    for tally in tallies:
        whole.add(msgspec.msgpack.decode(msgspec.msgpack.encode(tally.snapshot()), type=type(tally.snapshot())))
    metrics = whole.metrics(12.5)
    assert metrics["e2e_p50_ms"] == pytest.approx(100, rel=2e-3)
    assert metrics["e2e_p99_ms"] == pytest.approx(198, rel=2e-3)
    assert metrics["e2e_max_ms"] == pytest.approx(200, rel=2e-3)
    assert (metrics["events"], metrics["errors"], metrics["gaps"], metrics["violations"]) == (20, 2, 2, 2)
    assert (metrics["client_cpu_percent"], metrics["submit_p99_ms"]) == (12.5, None)
    assert whole.errors == {"http_500": 2}


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("e2e_p99_ms>40", 41.0, True),
        ("e2e_p99_ms>40", 40.0, False),
        (" e2e_p99_ms >= 4e1 ", 40.0, True),
        ("completed_per_s<100", 99.0, True),
        ("lost!=0", 0.0, False),
        ("errors==0", 0.0, True),
        ("events<=-1", 0.0, False),
        ("e2e_p99_ms>40", None, True),
    ],
)
def test_conditions(text: str, value: float | None, holds: bool) -> None:
    condition = parse_condition(text)
    assert (condition.holds({condition.metric: value}) is not None) is holds


@pytest.mark.parametrize("text", ["e2e_p99_ms", "e2e_p99_ms=>40", "e2e_p99_ms>fast", "", "40<e2e_p99_ms", "lost>1 2"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(BadScenario, match="--fail-if takes METRIC"):
        parse_condition(text)


def test_an_unknown_metric_is_refused_with_those_near_it() -> None:
    with pytest.raises(BadScenario, match=r"no metric 'e2e_p98_ms'; near it: e2e_p9\d_ms"):
        parse_condition("e2e_p98_ms>40")


def test_the_exit_code_puts_broken_promises_first() -> None:
    def code(*, faulty: bool = False, slow: bool = False, interrupted: bool = False) -> int:
        tally = Tally()
        tally.record("e2e", 0.05)
        if faulty:
            tally.fault([Violation("gap", ID, 3, "planted")])
        report = make_report(
            read_scenario("submit"), tally, [parse_condition("e2e_p99_ms>40")] if slow else [], url="", server={},
            cpu_percent=[81.0], interrupted=interrupted, server_process=None,
        )  # fmt: skip
        assert any("81% of a core: it may be the bottleneck" in line for line in notes(report))
        return report.exit_code

    assert (code(), code(slow=True), code(interrupted=True, slow=True)) == (0, 4, 130)
    assert code(faulty=True, slow=True, interrupted=True) == 3


def test_a_clock_that_differs_is_noticed() -> None:
    same, ahead, behind = Tally(), Tally(), Tally()
    for start in (10.0, 20.0):
        same.clock(start + 0.010, start, start + 0.020)
        ahead.clock(start + 3.010, start, start + 0.020)
        behind.clock(start - 2.990, start, start + 0.020)
    assert clock_offset_ms(same) is None
    assert clock_offset_ms(ahead) == pytest.approx(2990)
    assert clock_offset_ms(behind) == pytest.approx(-2990)
    assert clock_offset_ms(Tally()) is None


# Scenarios


@pytest.mark.parametrize("kind", get_args(Kind))
def test_each_kind_has_defaults_that_stand(kind: str) -> None:
    scenario = read_scenario(kind)
    assert scenario.kind == kind
    assert scenario.rate or scenario.viewers


@pytest.mark.parametrize("path", sorted((ROOT / "examples/load").glob("*.toml")), ids=lambda path: path.name)
def test_the_examples_are_scenarios(path: Path) -> None:
    assert read_scenario(str(path)).kind in get_args(Kind)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('kind = "churn"\nviewers = 7\nduration_s = 3\n')
    scenario = read_scenario(str(path), viewers=9, rate=None)
    assert (scenario.viewers, scenario.duration_s, scenario.cut_rate) == (9, 3.0, DEFAULTS["churn"]["cut_rate"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("viewers = 3", "kind must be one of submit, fanout, churn, mixed; got None"),
        ('kind = "storm"', "got 'storm'"),
        ('kind = "churn"\nviewrs = 3', "unknown field `viewrs`"),
        ('kind = "churn"\nduration_s = 0', "> 0.0 - at `$.duration_s`"),
        ('kind = "churn"\nviewers = "many"', "Expected `int`, got `str` - at `$.viewers`"),
        ('kind = "churn"\nexperiments = 0', "100 viewers need experiments to watch; experiments is 0"),
        ('kind = "submit"\nrate = 1000\nduration_s = 5000', "rate * duration_s must be at most 1000000, got 5e+06"),
        ("kind = ", "is not TOML"),
    ],
)
def test_a_bad_file_is_refused_with_the_rule(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BadScenario) as refused:
        read_scenario(str(path))
    assert words in str(refused.value)


def test_a_name_that_is_no_scenario_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadScenario, match="no scenario 'strom'; give one of submit, fanout, churn, mixed"):
        read_scenario("strom")
    with pytest.raises(BadScenario, match="cannot read"):
        read_scenario(str(tmp_path / "away.toml"))


def test_a_scenario_beyond_the_machine_is_refused() -> None:
    with pytest.raises(BadScenario, match="--procs must be from 1 to 64, got 0"):
        check_limits(read_scenario("churn"), 0)
    check_limits(read_scenario("churn"), 2)


@pytest.mark.parametrize("url", ["ftp://host", "host:80", "http://", "http://host:port"])
def test_a_bad_address_is_refused(url: str) -> None:
    with pytest.raises(BadScenario, match="--url"):
        parse_address(url)


def test_what_is_posted_is_never_answered_from_another_run() -> None:
    scenario = read_scenario("mixed", duration_s=2.0, step_ms=10.0)
    watched, arriving = scenario.watched_spec("t"), scenario.arriving_spec("t")
    assert (watched["fresh"], arriving["fresh"]) == (True, True)
    assert watched["method"] == {"name": "probe", "steps": 200, "step_ms": 10.0, "payload_bytes": 0}
    assert arriving["method"]["steps"] == 5
    assert read_scenario("submit", method="hf").arriving_spec("t")["method"] == {"name": "hf"}


# The page


def test_every_field_and_metric_is_on_the_page() -> None:
    for field in Scenario.__struct_fields__:
        assert f"`{field}`" in PAGE
    for name in (*COUNTS, *(name for name in metric_names() if name.endswith("_per_s"))):
        assert f"`{name}`" in PAGE
    for fault in get_args(Fault):
        assert f"`{fault}`" in PAGE


def test_a_time_is_read_to_the_millisecond() -> None:
    assert epoch("1970-01-01T00:00:01.500Z") == 1.5

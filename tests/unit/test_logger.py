"""Log messages: control characters, repeated lines, and the logging of the program."""

import io
import json
import logging

import pytest

from beam_bpy.cli.log_output import JsonFormatter, TextFormatter
from beam_bpy.logger import RepeatedLines, log

HOSTILE = [
    "two\nlines",
    "carriage\rreturn",
    "\x1b[31mred",
    "nul\x00",
    "bell\x07",
    "c1\x9b31m",
    "line\u2028separator",
    "right\u202eto left",
    "next\x85line",
    "\ud800",
]


@pytest.fixture
def written():
    """The text that a logging handler of the program writes with its formatter."""
    streams = []

    def attach(formatter, level="DEBUG"):
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logger = logging.getLogger("beam_bpy")
        streams.append((logger, handler, logger.level))
        logger.addHandler(handler)
        logger.setLevel(level)
        return stream

    yield attach
    for logger, handler, level in reversed(streams):
        logger.removeHandler(handler)
        logger.setLevel(level)


class TestControlCharacters:
    @pytest.mark.parametrize("text", HOSTILE)
    @pytest.mark.parametrize("formatter", [None, TextFormatter(), JsonFormatter()], ids=["plain", "text", "json"])
    def test_a_name_of_a_peer_cannot_make_a_second_line(self, written, text, formatter):
        stream = written(formatter)

        log.warning("%s has connected: %r", text, text)

        (line,) = stream.getvalue().splitlines()
        assert not set(text) & set(line) - {character for character in text if character.isprintable()}

    @pytest.mark.parametrize("value", [ValueError("a\nb"), ("x\ny",), b"a\nb", None, {"k\n": 1}])
    def test_values_of_other_types(self, written, value):
        stream = written(None)

        log.info("%s", value)

        assert len(stream.getvalue().splitlines()) == 1

    def test_numbers_stay_numbers(self, written):
        stream = written(None)

        log.info("%d %.1f %5d", 3, 1.25, True)

        assert stream.getvalue() == "3 1.2     1\n"

    def test_a_traceback_cannot_look_like_another_message(self, written):
        stream = written(TextFormatter())

        try:
            raise ValueError("one\n2026-01-01T00:00:00 ERROR beam_bpy: forged")
        except ValueError:
            log.exception("failed")

        first, *others = stream.getvalue().splitlines()
        assert first.endswith("ERROR beam_bpy: failed")
        assert others
        assert all(line.startswith("    ") for line in others)


class TestFormats:
    def test_text_has_time_level_and_logger(self, written):
        stream = written(TextFormatter())

        log.warning("the message")

        time, rest = stream.getvalue().rstrip().split(" ", 1)
        assert rest == "WARNING beam_bpy: the message"
        assert time[:4].isdecimal()
        assert time[10] == "T"

    def test_json_has_the_fields(self, written):
        stream = written(JsonFormatter())

        log.error("%s is %d", "größe", 3, fields={"node": "a@b", "level": "mine", "reason": b"\xff"})

        entry = json.loads(stream.getvalue())
        assert entry.pop("time")
        assert entry == {
            "level": "error",
            "logger": "beam_bpy",
            "message": "größe is 3",
            "node": "a@b",
            "reason": "<<255>>",
        }

    def test_json_has_the_traceback(self, written):
        stream = written(JsonFormatter())

        try:
            raise KeyError("crate")
        except KeyError:
            log.exception("failed")

        (line,) = stream.getvalue().splitlines()
        assert json.loads(line)["traceback"].endswith("KeyError: 'crate'")

    @pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
    def test_records_of_other_loggers(self, formatter):
        record = logging.LogRecord("other", logging.INFO, "f.py", 1, "it is %s", ("so",), None)

        assert "it is so" in formatter.format(record)


class TestRepeatedLines:
    @pytest.fixture
    def repeated(self):
        return RepeatedLines()

    def test_a_line_is_written_once_and_then_counted(self, written, repeated):
        stream = written(logging.Formatter("%(levelname)s %(message)s"))

        for number in range(1000):
            repeated.log(logging.WARNING, "key", "call %d", number)
        repeated.summarise()
        repeated.summarise()

        assert stream.getvalue().splitlines() == [
            "WARNING call 0",
            "WARNING … and 999 more in the last 10 seconds: call 0",
        ]

    def test_different_lines_are_told_apart(self, written, repeated):
        stream = written(None)

        for key in ("a", "b", "a"):
            repeated.log(logging.INFO, key, "%s", key)

        assert stream.getvalue().splitlines() == ["a", "b"]

    def test_a_line_alone_has_no_summary(self, written, repeated):
        stream = written(None)

        repeated.log(logging.INFO, "a", "once")
        repeated.summarise()

        assert stream.getvalue() == "once\n"

    def test_after_a_summary_a_line_is_written_again(self, written, repeated):
        stream = written(None)

        for _ in range(2):
            repeated.log(logging.INFO, "a", "again")
            repeated.summarise()

        assert stream.getvalue() == "again\nagain\n"

    def test_many_different_lines_are_bounded(self, written, repeated):
        stream = written(None)

        for number in range(30_000):
            repeated.log(logging.WARNING, number, "cast %d failed", number)
        repeated.summarise()

        assert len(stream.getvalue()) < 20_000
        assert "… and 29899 more" in stream.getvalue()

    def test_a_level_that_is_not_logged_costs_no_memory(self, written, repeated):
        stream = written(None, "WARNING")

        for number in range(10):
            repeated.log(logging.DEBUG, number, "detail")
        repeated.log(logging.WARNING, 1, "warning")

        assert stream.getvalue() == "warning\n"

    def test_a_percent_sign_in_a_name(self, written, repeated):
        stream = written(None)

        for _ in range(2):
            repeated.log(logging.INFO, "a", "%s", "100%s of %d")
        repeated.summarise()

        assert stream.getvalue().splitlines()[0] == "100%s of %d"


def test_a_logging_handler_of_the_program_that_fails(written):
    class Failing(logging.Handler):
        def emit(self, record):
            raise OSError("disk full")

    stream = written(None)
    logger, failing = logging.getLogger("beam_bpy"), Failing()
    logger.addHandler(failing)
    try:
        log.warning("still here")
    finally:
        logger.removeHandler(failing)

    assert stream.getvalue() == "still here\n"


def test_a_record_names_the_line_that_has_logged_it(caplog):
    log.warning("from here")

    assert caplog.records[-1].filename == "test_logger.py"

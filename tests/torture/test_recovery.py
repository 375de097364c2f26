"""The probe that measures how soon all runs again."""

from datetime import UTC, datetime, timedelta

from tests.torture.recovery import late_recoveries, outages

BEGUN = datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC)


def at(*seconds: float) -> list[datetime]:
    return [BEGUN + timedelta(seconds=one) for one in seconds]


def log(*lines: tuple[float, str]) -> str:
    return "".join(
        f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03} UTC [7] 00000 LOG:  {text}\n"
        for second, text in lines
        for moment in at(second)
    )


READY = "database system is ready to accept connections"


def late(text: str, busy_until: float = 60, **effects: list[datetime]) -> list[str]:
    return list(late_recoveries(text, effects, *at(busy_until)))


def test_an_effect_in_time_is_well() -> None:
    assert late(log((1, "starting PostgreSQL"), (2, READY)), app=at(1.9, 6.9)) == []


def test_an_effect_too_late_or_never_is_told_for_each_owner() -> None:
    told = late(log((2, READY)), app=at(1.9, 7.1), other=at(1.5), third=at(3))
    assert told == [
        "the server was ready at 03:04:02, and the next effect of app came after 5.1 s",
        "the server was ready at 03:04:02, and the next effect of other came after never",
    ]


def test_a_server_that_went_down_again_is_not_measured() -> None:
    for down in ("received fast shutdown request", "terminating any other active server processes"):
        assert late(log((2, READY), (6, down)), app=[]) == []
        assert len(late(log((2, READY), (8, down)), app=[])) == 1


def test_a_load_that_is_over_is_not_measured() -> None:
    assert late(log((2, READY)), busy_until=6.5, app=[]) == []


def test_outages_are_from_the_first_sign_to_the_next_start() -> None:
    lines = (
        (1, READY), (2, "terminating any other active server processes"),
        (3, "all server processes terminated"), (4, READY), (6, "received fast shutdown request"),
        (9, READY), (10, "received fast shutdown request"),
    )  # fmt: skip
    two, four, six, nine = at(2, 4, 6, 9)
    assert outages(log(*lines)) == [(two, four), (six, nine)]

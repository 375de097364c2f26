"""What is secret in a connection string shows nowhere, whatever form it has."""

from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from pyworker.dsn import complaint_about, has_secret, mask_dsn, scrub


@pytest.mark.parametrize(
    ("dsn", "masked"),
    [
        ("postgresql://u:s3cret@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgres://u:s3cret@h", "postgres://u:***@h"),
        ("postgresql://:s3cret@h/d", "postgresql://:***@h/d"),
        ("postgresql://u@h/d?password=s3cret&x=1", "postgresql://u@h/d?password=***&x=1"),
        ("postgresql://u@h/d?pass%77ord=s3cret", "postgresql://u@h/d?pass%77ord=***"),
        ("postgresql://u@h/d?sslpassword=s3cret", "postgresql://u@h/d?sslpassword=***"),
        ("postgresql://u:s%33cret@h,[::1]:5433/d", "postgresql://u:***@h,[::1]:5433/d"),
        ("postgresql://h:5432/d?user=a@b", "postgresql://h:5432/d?user=a@b"),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
        ("postgresql://u@/d?host=/run", "postgresql://u@/d?host=/run"),
        (
            "postgresql://u@/d?options=-c%20a.password%3Ds3cret",
            "postgresql://u@/d?options=-c%20a.password%3D***",
        ),
        ("host=h password=s3cret user=u", "host=h password=*** user=u"),
        ("host=h password = s3cret user=u", "host=h password = *** user=u"),
        ("host=h password='s3 cr\\'et' user=u", "host=h password=*** user=u"),
        ("host=h password=s3\\ cret user=u", "host=h password=*** user=u"),
        ("host=h options='-c a.secret=s3cret -c b=1'", "host=h options='-c a.secret=*** -c b=1'"),
        ("service=s user=u", "service=s user=u"),
        ("", ""),
    ],
)
def test_masking(dsn: str, masked: str) -> None:
    assert mask_dsn(dsn) == masked
    assert has_secret(dsn) == (dsn != masked)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3c@cret@h/d",
        "postgresql://u:s3c/cret@h/d",
        "postgresql://u:12/cret@h/d",
        "postgresql://u:s3c?cret@h/d",
        "postgresql://u:12?cret@h/d",
        "postgresql://u:12?a=cret@h/d",
        "postgresql://u:s3c:cret@h/d",
        "postgresql://u:s3c#cret@h/d",
        "postgresql://u:s3c%zzcret@h/d",
        "host=h password=s3c cret user=u",
        "host=h password='s3c cret user=u",
        "host=h s3c=cret=x password=s3c cret",
    ],
)
def test_of_what_libpq_reads_otherwise_nothing_shows(dsn: str) -> None:
    assert "cret" not in mask_dsn(dsn).replace("s3c=cret=x", "")
    assert "cret" not in (complaint_about(dsn) or "")


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:s3c@cret@h/d", "postgresql://u:s3c/cret@h/d", "postgresql://u:12/cret@h/d",
        "postgresql://u:s3c%zzcret@h/d", "host=h password=s3c cret user=u",
        "host=h password='s3c cret", "host=u@cret", "host=h port=cret",
    ],
)  # fmt: skip
def test_what_would_be_quoted_is_refused_before(dsn: str) -> None:
    complaint = complaint_about(dsn)
    assert complaint is not None
    assert "cret" not in complaint


@pytest.mark.parametrize(
    "password", ["plain", "a@b/c?d:e#f&g=h", "sp ace", "quo'te\"s", "back\\slash", "%41", "ü", "="]
)
def test_every_password_is_hidden_in_every_form(password: str) -> None:
    value = "'" + password.replace("\\", "\\\\").replace("'", "\\'") + "'"
    for dsn in (
        f"postgresql://u:{quote(password, safe='')}@h/d",
        f"postgresql://u@h/d?password={quote(password, safe='')}",
        f"host=h user=u password={value} dbname=d",
    ):
        assert conninfo_to_dict(dsn)["password"] == password
        assert complaint_about(dsn) is None
        assert conninfo_to_dict(mask_dsn(dsn)) == {**conninfo_to_dict(dsn), "password": "***"}


def test_a_text_of_others_keeps_what_is_not_secret() -> None:
    said = (
        "could not connect to \"postgresql://u:s3cret@h/d\" with password='s3 cret',"
        " and password = s3cret; 3 = 3"
    )
    assert scrub(said) == (
        'could not connect to "postgresql://u:***@h/d" with password=***, and password = ***; 3 = 3'
    )
    assert scrub("dblink: host=h PASSWORD=s3cret user=u") == "dblink: host=h PASSWORD=*** user=u"
    assert scrub("https://example.org/?q=1 is no DSN") == "https://example.org/?q=1 is no DSN"

"""Which file system a Maildir is on."""

from pathlib import Path

from services.local.mounts import Mounts, points_below

TABLE = """\
22 1 252:1 / / rw,relatime - ext4 /dev/vda1 rw
40 22 0:50 / /srv/mail rw shared:1 - nfs4 nas:/mail rw
41 40 0:51 / /srv/mail/big.example rw - nfs4 nas:/big rw
42 40 0:52 / /srv/mail/with\\040space\\134 rw - nfs4 nas:/space rw
43 22 0:53 / /srv/mailings rw - tmpfs tmpfs rw
"""


def test_the_mount_points_below_the_root_are_read_from_proc() -> None:
    found = set(points_below("/srv/mail", TABLE))
    assert found == {"big.example", "with space\\"}
    assert set(points_below("/", TABLE)) >= {"srv/mail", "srv/mailings"}


def test_a_path_is_on_the_nearest_mount_point_above_it(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(TABLE.replace("/srv/mail/", f"{tmp_path}/mail/"))
    mounts = Mounts(tmp_path / "mail", table)
    assert mounts.of(f"{tmp_path}/mail/big.example/1f/joe/Maildir") == "big.example"
    assert mounts.of(f"{tmp_path}/mail/bigger.example/1f/joe/Maildir") == ""


def test_without_such_a_table_all_is_one_file_system(tmp_path: Path) -> None:
    assert Mounts(tmp_path, tmp_path / "none").of(f"{tmp_path}/a/Maildir") == ""

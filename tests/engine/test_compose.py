"""The compose file of the documents: its commands exist, and it contains no secret."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml

from securepip.cli.main import parse
from securepip.engine.database import conninfo

FILE = Path(__file__).parents[2] / "docs" / "compose.yaml"


def test_the_compose_file_runs_commands_that_there_are_and_names_no_password() -> None:
    document = yaml.safe_load(FILE.read_text())
    ours = [
        service
        for service in document["services"].values()
        if str(service.get("command", "")).startswith("securepip ")
    ]
    assert len(ours) == 2
    for service in ours:
        parse(shlex.split(service["command"])[1:])
        url = service["environment"]["SECUREPIP_DATABASE"]
        assert "passfile=" in conninfo(url)
        assert re.fullmatch(r"postgresql://\w+@[\w/?=]+", url), "a user, and no password"
    database = document["services"]["database"]["environment"]
    assert "POSTGRES_PASSWORD" not in database
    assert set(document["secrets"]) == {"password", "pgpass"}


def test_the_steps_before_it_are_commands_that_there_are() -> None:
    text = re.sub(r"\\\n#", " ", FILE.read_text())
    commands = re.findall(r"^# +docker compose run .*?securepip (.*)", text, re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [["repo", "init"], ["repo", "token"]]
    for command in commands:
        parse(shlex.split(command))

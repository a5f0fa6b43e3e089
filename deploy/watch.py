"""`./dev watch`: Kafka, a synthetic publisher, a paper session and Prometheus without Docker, until Ctrl-C.

May not live here: what any of them does; this starts them, tells where they are, and ends all of them for sure.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN_FILE = ROOT / "deploy" / "paper.toml"
KAFKA = ROOT / "deploy" / "kafka" / "start"
RULES = ROOT / "deploy" / "prometheus"

TICKS, ORDERS = "ticks", "orders"
"""Topics: what the publisher makes, and what the session decides."""

READY_SECONDS_MAX = 120
"""Long enough for a slow machine that fetches Kafka's jars for the first time."""

END_SECONDS_MAX = 30
"""How long one of them may take to end in order; then it is killed."""

MISSING, FAILED, INTERRUPTED = 3, 1, 130
"""Exit codes: a program is missing, something ended by itself, Ctrl-C."""

_PR_SET_PDEATHSIG = 1


class WatchError(Exception):
    """What goes on the screen, and the exit code."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Places:
    """Where everything is."""

    folder: Path
    kafka_port: int
    metrics_port: int
    prometheus_port: int
    rate: int
    run_file: Path = RUN_FILE

    @property
    def broker(self) -> str:
        """The address of a topic's broker."""
        return f"kafka://127.0.0.1:{self.kafka_port}"

    @property
    def session(self) -> Path:
        """The session's folder: of its own for each broker, since a session keeps its feed."""
        return self.folder / f"session-{self.kafka_port}"

    @property
    def metrics(self) -> str:
        """The session's page."""
        return f"http://127.0.0.1:{self.metrics_port}"

    @property
    def prometheus(self) -> str:
        """Prometheus' page."""
        return f"http://127.0.0.1:{self.prometheus_port}"


@dataclass
class Started:
    """The processes that run, in the order of their start; they end in the opposite one."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, command: Sequence[object]) -> None:
        """Start one; its output goes to its log. Ctrl-C on the terminal is not for it, and it never outlives us."""
        with open(self.log(name), "wb") as log:
            self.processes[name] = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )

    def log(self, name: str) -> Path:
        """Say where the output of one goes."""
        return self.folder / f"{name}.log"

    def check(self) -> None:
        """Raise WatchError where one has ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                said = _tail(self.log(name))
                raise WatchError(f"{name} has ended by itself ({process.returncode}); the end of its log:\n{said}")

    def end(self) -> None:
        """End all, the last one first; what does not end in order is killed."""
        for name, process in reversed(self.processes.items()):
            if process.poll() is None:
                _say(f"ending {name}")
                process.terminate()
                try:
                    process.wait(END_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, however it dies; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


# -- parts


def check_programs() -> None:
    """Raise WatchError where a program is missing, with what to install."""
    wanted = {"java": "default-jre-headless", "prometheus": "prometheus"}
    missing = [f"{program} (Debian: {package})" for program, package in wanted.items() if shutil.which(program) is None]
    if missing:
        raise WatchError(
            f"{' and '.join(missing)} missing: install it, or use docker compose, which brings all", MISSING
        )


def check_ports(places: Places) -> None:
    """Raise WatchError where something listens already."""
    ports = {
        "--kafka-port": places.kafka_port,
        "--metrics-port": places.metrics_port,
        "--prometheus-port": places.prometheus_port,
    }
    for option, port in ports.items():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise WatchError(f"port {port} is taken: end what listens there, or choose another with {option}")


@contextlib.contextmanager
def broker(places: Places) -> Iterator[None]:
    """Keep a broker; it ends with us in any case."""
    folder = places.folder / "kafka"
    command = [str(KAFKA), "--owner", str(os.getpid()), str(folder), str(places.kafka_port)]
    _say("starting kafka")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, start_new_session=True)
    if done.returncode != 0:
        raise WatchError(done.stderr.strip(), done.returncode)
    try:
        yield
    finally:
        _say("ending kafka")
        subprocess.run([str(KAFKA), "--stop", str(folder)], cwd=ROOT, check=False, start_new_session=True)


def start_publisher(started: Started, places: Places) -> None:
    """Let the market of the run file go to a topic of ticks, for ever."""
    topic = f"{places.broker}/{TICKS}"
    feed = f"sim:?rate={places.rate}"
    started.start("publisher", [*_replay(), "publish", places.run_file, topic, "--feed", feed])


def start_session(started: Started, places: Places) -> None:
    """Run the session on that topic."""
    feed = f"{places.broker}/{TICKS}?from=earliest"
    sink = f'sink.0.uri="{places.broker}/{ORDERS}"'
    port = f"metrics.port={places.metrics_port}"
    sets = ["--set", port, "--set", sink]
    started.start("session", [*_replay(), "paper", places.run_file, "--session", places.session, "--feed", feed, *sets])


def start_prometheus(started: Started, places: Places) -> None:
    """Let Prometheus watch the session, with the rules of deploy/prometheus."""
    config = places.folder / "prometheus.yml"
    config.write_text(prometheus_config(places))
    started.start(
        "prometheus",
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={places.folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{places.prometheus_port}",
        ],
    )


def prometheus_config(places: Places) -> str:
    """Give deploy/prometheus/prometheus.yml with the ports and places of here."""
    text = (RULES / "prometheus.yml").read_text()
    for name in ("recording.yml", "alerts.yml"):
        text = text.replace(f"- {name}", f"- {RULES / name}")
    text = text.replace("127.0.0.1:9109", f"127.0.0.1:{places.metrics_port}")
    return text.replace("127.0.0.1:9090", f"127.0.0.1:{places.prometheus_port}")


def _replay() -> list[str]:
    return [sys.executable, "-m", "replay"]


# -- waiting


def await_ready(started: Started, what: str, is_ready: Callable[[], bool]) -> None:
    """Wait for one; raise WatchError where any of them ends meanwhile, or it takes too long."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not is_ready():
        started.check()
        if time.monotonic() > deadline:
            raise WatchError(f"{what} was not ready in {READY_SECONDS_MAX} s; its log is {started.log(what)}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Say whether a page answers that all is well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def scrapes(places: Places) -> bool:
    """Say whether Prometheus has records of the session."""
    try:
        with urllib.request.urlopen(
            f"{places.prometheus}/api/v1/query?query=replay_records_total", timeout=2
        ) as answer:
            return bool(json.load(answer)["data"]["result"])
    except OSError:
        return False


def make_topic(places: Places, name: str) -> None:
    """Make a topic that keeps what it gets, if it is not there yet."""
    import asyncio

    asyncio.run(_make_topic(places, name))


async def _make_topic(places: Places, name: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{places.kafka_port}")
    await admin.start()
    try:
        if name not in await admin.list_topics():
            keeps = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)}
            await admin.create_topics([NewTopic(name, 1, 1, topic_configs=keeps)])
    finally:
        await admin.close()


def has_messages(places: Places, name: str) -> bool:
    """Say whether a topic holds anything: a session of an empty one would not know what it carries."""
    import asyncio

    return asyncio.run(_has_messages(places, name))


async def _has_messages(places: Places, name: str) -> bool:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    partition = TopicPartition(name, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{places.kafka_port}")
    await consumer.start()
    try:
        return bool((await consumer.end_offsets([partition]))[partition])
    finally:
        await consumer.stop()


# -- all of it


def watch(places: Places, stop: Callable[[], bool]) -> None:
    """Start everything, tell where it is, and wait until `stop` says so; then end everything."""
    check_programs()
    check_ports(places)
    places.folder.mkdir(parents=True, exist_ok=True)
    started = Started(places.folder)
    with broker(places):
        try:
            for topic in (TICKS, ORDERS):
                make_topic(places, topic)
            start_publisher(started, places)
            await_ready(started, "publisher", lambda: stop() or has_messages(places, TICKS))
            start_session(started, places)
            start_prometheus(started, places)
            await_ready(started, "session", lambda: stop() or answers(f"{places.metrics}/health/ready"))
            await_ready(started, "prometheus", lambda: stop() or scrapes(places))
            if not stop():
                _tell(places)
            while not stop():
                started.check()
                time.sleep(0.2)
        finally:
            started.end()


def _tell(places: Places) -> None:
    print(
        f"""
  session     {places.metrics}/metrics   {places.metrics}/health
  Prometheus  {places.prometheus}/graph?g0.expr=replay_equity&g0.tab=0
  alerts      {places.prometheus}/alerts
  Kafka       127.0.0.1:{places.kafka_port}, topics {TICKS} and {ORDERS}
  folder      {places.folder} (logs, session, broker)

Ctrl-C ends all of it; started again, it goes on.""",
        flush=True,
    )


def _say(text: str) -> None:
    print(f"watch: {text}", file=sys.stderr, flush=True)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and watch; give the exit code."""
    parser = argparse.ArgumentParser(prog="./dev watch", description=(__doc__ or "").splitlines()[0].strip("`"))
    parser.add_argument("--folder", type=Path, default=ROOT / "target" / "watch", help="state and logs")
    parser.add_argument("--kafka-port", type=int, default=9092)
    parser.add_argument("--metrics-port", type=int, default=9109)
    parser.add_argument("--prometheus-port", type=int, default=9090)
    parser.add_argument("--rate", type=int, default=200, help="records a second of the synthetic market")
    parser.add_argument("--run", type=Path, default=RUN_FILE, help="a run file with other strategies or instruments")
    given = parser.parse_args(arguments)
    places = Places(
        given.folder.resolve(),
        given.kafka_port,
        given.metrics_port,
        given.prometheus_port,
        given.rate,
        given.run.resolve(),
    )
    wishes: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: wishes.append(number))
    try:
        watch(places, lambda: bool(wishes))
    except WatchError as error:
        _say(str(error))
        return error.code
    return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

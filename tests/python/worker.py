#!/usr/bin/python3
"""Worker that speaks the wire format of the Python sleap-rtc peers, quirks included;
used by the end-to-end tests.

An independent re-implementation on aiortc, so that a second WebRTC stack is on the wire. Needs
Debian's python3-aiortc (1.4.0) and python3-websockets (10.4), else only the standard library.

It is always the lone admin of its room: `peer_message` and `candidate` are ignored, there is no mesh and
no ZMQ bridge. One JSON line per event goes to stdout; the log, with the session string in it, to stderr.
Paths in the storage backend flow are NOT contained: run it on throw-away folders only.
"""

import argparse
import asyncio
import base64
import json
import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path

import websockets
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

sys.dont_write_bytecode = True
from common import BUFFERED_LIMIT, KEEP_ALIVE, delete_peer, emit, log, post, usable_root

RESULT_CHUNK_BYTES = 32768
LOG_LIMIT = 65536
TRAIN_LINE = re.compile(r"^\s*(?:sleap-nn\s+train|sleap-train)\s+.*--config-name\s+(\S+)")  # the last one counts
TRACK_LINE = re.compile(r"^\s*sleap-nn\s+track\s+(.*)")
TRAINER_OVERRIDES = ["trainer_config.zmq.controller_port=9000", "trainer_config.zmq.publish_port=9001",
                     "trainer_config.train_data_loader.num_workers=0", "trainer_config.val_data_loader.num_workers=0"]


class RTCWorkerClient:
    """State lives on the worker, not on the job or the connection, as in the original; hence the class name
    and the attribute `gui` that does not exist before the first FILE_META: both are seen in JOB_FAILED texts."""

    def __init__(self, args):
        self.args = args
        self.workdir = Path(args.workdir).resolve()
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.backends = {n: Path(b).expanduser().resolve() for n, b in (s.split("=", 1) for s in args.storage)}
        environment = os.environ.get("SHARED_STORAGE_ROOT")
        self.shared_root = usable_root(args.shared_root or environment)
        if not self.backends and usable_root(environment):
            self.backends = {"default": usable_root(environment)}
        self.backend = self.subdir = self.job_id = self.input = self.output = None
        self.package_type, self.output_dir = "train", "models"
        self.registered = False
        self.programs = set()
        self.peer = self.socket = None

    # -- signaling ---------------------------------------------------------------------------------

    def sign_in(self):
        status, answer = post(self.args.signaling_http, "/anonymous-signin")
        if status != 200 or not answer.get("id_token"):
            sys.exit(f"sign-in failed: {status} {answer}")
        self.peer_id, self.id_token = answer["username"], answer["id_token"]
        self.room_id, self.token = self.args.room_id, self.args.token
        if not (self.room_id and self.token):
            bearer = {"Authorization": f"Bearer {self.id_token}"}
            status, answer = post(self.args.signaling_http, "/create-room", headers=bearer)
            if status != 200:
                sys.exit(f"create-room failed: {status} {answer}")
            self.room_id, self.token = answer["room_id"], answer["token"]

    async def send_signal(self, message):
        await self.socket.send(json.dumps(message))

    async def register(self, again=False):
        properties = {"gpu_memory_mb": 0, "gpu_model": "CPU", "sleap_version": "unknown", "cuda_version": "N/A",
                      "hostname": socket.gethostname(), "status": "available", "max_concurrent_jobs": 1,
                      "supported_models": ["base", "centroid", "topdown"],
                      "supported_job_types": ["training", "inference"]}
        if not again:  # a re-registration forgets them
            properties["storage_backends"] = sorted(self.backends)
        await self.send_signal({
            "type": "register", "peer_id": self.peer_id, "room_id": self.room_id, "token": self.token,
            "id_token": self.id_token, "role": "worker", "is_admin": True,
            "metadata": {"tags": ["sleap-rtc", "training-worker", "inference-worker"], "properties": properties}})

    def show_session(self, message):
        room_id, token = message["room_id"], message["token"]  # the echoed values
        fields = json.dumps({"r": room_id, "t": token, "p": self.peer_id}).encode()
        session = f"sleap-session:{base64.urlsafe_b64encode(fields).decode()}"
        log(f"Session string:\n  {session}\n  Room ID: {room_id}\n  Token: {token}")
        emit("session", session=session, room_id=room_id, token=token, peer_id=self.peer_id)

    async def read_signals(self):
        """Ends, or raises, when the socket ends, and with it the process."""
        async for text in self.socket:
            message = json.loads(text)
            kind = message.get("type")
            emit("signal", message=message)
            if kind == "registered_auth":
                first, self.registered = not self.registered, True
                self.ice_servers = message.get("ice_servers") or []
                if first:
                    self.new_peer()
                    self.show_session(message)
                emit("registered", again=not first)
            elif kind == "offer":
                try:
                    await self.answer(message)
                except Exception as error:
                    log("offer:", repr(error))
            elif kind == "error":
                log("signaling error:", text)
                if not self.registered:
                    return

    # -- WebRTC ------------------------------------------------------------------------------------

    def new_peer(self):
        # A key the constructor does not know raises here.
        servers = [RTCIceServer(**server) for server in self.ice_servers]
        peer = self.peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))

        async def ice_changed():
            emit("ice", state=peer.iceConnectionState)
            if peer.iceConnectionState in ("failed", "closed") and self.peer is peer:
                self.new_peer()
                await peer.close()
                await self.register(again=True)

        peer.on("iceconnectionstatechange", ice_changed)
        peer.on("datachannel", self.new_channel)

    async def answer(self, offer):
        """Every offer is applied to the one connection, also a second client's."""
        await self.send_signal({"type": "update_metadata", "peer_id": self.peer_id,
                                "metadata": {"properties": {"status": "reserved"}}})
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp=offer["sdp"], type="offer"))
        await self.peer.setLocalDescription(await self.peer.createAnswer())  # gathers all candidates
        await self.send_signal({"type": "answer", "sender": self.peer_id, "target": offer["sender"],
                                "sdp": self.peer.localDescription.sdp})

    def new_channel(self, channel):
        emit("open", label=channel.label)
        files = {}  # announced name -> bytearray, whole in memory; binary data goes to the first

        async def on_message(data):
            try:
                if isinstance(data, bytes):
                    if data != KEEP_ALIVE:
                        next(iter(files.values())).extend(data)
                else:
                    emit("text", text=data)
                    await self.text(channel, files, data)
            except Exception as error:  # logged only: the channel stays open and the client learns nothing
                log("message handler:", repr(error))
                emit("failed", error=repr(error))

        channel.on("message", on_message)
        channel.on("close", lambda: emit("channel_closed"))

    def send(self, channel, text):
        if channel.readyState == "open":
            channel.send(text)
            emit("sent", text=text)

    async def text(self, channel, files, text):
        """Messages are looked for anywhere in the text; only the first argument is used."""
        def argument(kind):
            return text.split(f"{kind}::", 1)[1].split("::")[0] if f"{kind}::" in text else None

        if (name := argument("STORAGE_BACKEND")) is not None:
            known = name in self.backends
            self.backend, self.subdir = (name, self.subdir) if known else (None, None)
            self.send(channel, "PATH_VALIDATED::backend" if known else f"BACKEND_NOT_AVAILABLE::{name}")
        elif (subdir := argument("USER_SUBDIR")) is not None:
            self.subdir = subdir
        elif (job_id := argument("JOB_ID")) is not None:
            self.job_id = job_id
        elif (meta := argument("FILE_META")) is not None:
            name, size, gui = meta.split(":")
            log(f"announced {name}, {int(size)} bytes")
            self.gui = gui.lower() == "true"
            files[name] = bytearray()  # a known name keeps its place in the table
        elif (path := argument("SHARED_INPUT_PATH")) is not None:
            self.send(channel, self.take_path("input", path))
        elif (path := argument("SHARED_OUTPUT_PATH")) is not None:
            self.send(channel, self.take_path("output", path))
        elif argument("SHARED_STORAGE_JOB") == "start":
            if self.input and self.output:  # possibly those of an earlier job
                await self.storage_job(channel)
            else:
                self.send(channel, "PATH_ERROR::Missing input or output path for shared storage job")
        elif (kind := argument("PACKAGE_TYPE")) is not None:
            self.package_type = kind
        elif (folder := argument("OUTPUT_DIR")) is not None:
            self.output_dir = folder
        elif "END_OF_FILE" in text:
            await self.rtc_job(channel, files)
        elif argument("ZMQ_CTRL") is None:
            log("unknown message:", text)

    # -- shared storage ----------------------------------------------------------------------------

    def take_path(self, which, path):
        """Stores `self.input` or `self.output` and gives the answer. A refusal leaves the earlier value."""
        if self.backend and self.subdir:  # no containment check
            try:
                full = self.backends[self.backend] / self.subdir / path
                if which == "input" and not full.exists():
                    return f"PATH_ERROR::Input path does not exist: {path}"
                if which == "output":
                    full.mkdir(parents=True, exist_ok=True)
            except Exception as error:
                return f"PATH_ERROR::Path validation error: {error}"
            setattr(self, which, full)
            return f"PATH_VALIDATED::{which}"
        if not self.shared_root:
            return "PATH_ERROR::Shared storage not configured on worker"
        try:
            full = self.shared_root / path
            if which == "input" and not full.exists():
                return f"PATH_ERROR::Input path does not exist: {full}"
            real = full.resolve()
            if not real.is_relative_to(self.shared_root):
                return (f"PATH_ERROR::Path validation failed: Path '{full}' is outside shared storage root "
                        f"'{self.shared_root}'. Resolved to: '{real}'")
            if which == "output":
                full.mkdir(parents=True, exist_ok=True)
        except Exception as error:
            return f"PATH_ERROR::Error processing {which} path: {error}"
        setattr(self, which, full)
        return f"PATH_VALIDATED::{which}"

    async def storage_job(self, channel):
        job_id, source, output = self.job_id, self.input, self.output
        try:
            try:
                folder = source.parent
                if source.suffix == ".zip":
                    shutil.unpack_archive(source, folder, "zip")  # blocks the event loop, like the original
                    folder = folder / source.stem
                log("gui:", self.gui)
                if (folder / "track-script.sh").exists():
                    await self.track(channel, folder, stays=self.shared_root is not None)
                elif (folder / "train-script.sh").exists():
                    await self.train(channel, folder)
                else:
                    raise FileNotFoundError(f"No train-script.sh or track-script.sh found in {folder}")
                # Relative to the legacy root in both flows: without one, Path(None) fails although all went well.
                done = output.resolve().relative_to(Path(self.shared_root))
                self.send(channel, f"JOB_COMPLETE::{job_id}::{done}")
            except Exception as error:
                self.send(channel, f"JOB_FAILED::{job_id}::{error}")
                raise
        except Exception as error:  # reported twice
            self.send(channel, f"JOB_FAILED::{job_id}::{error}")

    # -- RTC chunks --------------------------------------------------------------------------------

    async def rtc_job(self, channel, files):
        name, data = next(iter(files.items()))
        files.clear()
        saved = self.workdir / name  # unchecked
        saved.write_bytes(data)
        emit("file", name=name, path=str(saved), size=len(data))
        if not name.endswith(".zip"):
            return
        shutil.unpack_archive(saved, saved.parent, "zip")
        folder = saved.parent / saved.stem
        if not folder.is_dir():
            raise FileNotFoundError(folder)
        if self.package_type == "track":
            await self.track(channel, folder, stays=False)
            return
        await self.train(channel, folder)
        results = folder / self.output_dir
        if results.is_dir():
            archive = shutil.make_archive(str(self.workdir / f"trained_{name[:-4]}"), "zip", results)
            await self.send_result(channel, Path(archive))

    async def send_result(self, channel, archive):
        self.send(channel, f"FILE_META::{archive.name}:{archive.stat().st_size}:{self.output_dir}")
        with archive.open("rb") as file:
            while chunk := file.read(RESULT_CHUNK_BYTES):
                while channel.readyState == "open" and channel.bufferedAmount > BUFFERED_LIMIT:
                    await asyncio.sleep(0.1)
                if channel.readyState != "open":
                    return
                channel.send(chunk)
        self.send(channel, "END_OF_FILE")

    # -- execution ---------------------------------------------------------------------------------

    async def execute(self, folder, arguments, send_log):
        """Runs the program in `folder` and cuts its output at every \\r and \\n. Gives the exit status."""
        program = await asyncio.create_subprocess_exec(
            *self.args.train_program, *arguments, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        self.programs.add(program)
        try:
            rest = b""
            while data := await program.stdout.read(4096):
                *pieces, rest = re.split(rb"([\r\n])", rest + data)
                for piece, end in zip(pieces[::2], pieces[1::2]):
                    send_log(piece, end)
                if len(rest) > LOG_LIMIT:
                    send_log(rest, b"\r")
                    rest = b""
            send_log(rest, b"\n")
            return await program.wait()
        finally:
            self.programs.discard(program)

    async def train(self, channel, folder):
        def send_log(piece, end):
            if piece:
                text = piece.decode("utf-8", "replace")
                self.send(channel, f"{text}\n" if end == b"\n" else f"\r{text}")

        script = folder / "train-script.sh"
        lines = script.read_text().splitlines()
        script.chmod(script.stat().st_mode | 0o111)  # made executable, never executed
        for config in (match[1] for match in map(TRAIN_LINE.match, lines) if match):
            name = Path(config).stem
            self.send(channel, f"TRAIN_JOB_START::{name}")
            status = await self.execute(
                folder, ["train", "--config-name", config, "--config-dir", ".", "trainer_config.ckpt_dir=models",
                         f"trainer_config.run_name={name}", *TRAINER_OVERRIDES], send_log)
            self.send(channel, f"TRAIN_JOB_ERROR::{name}::{status}" if status else f"TRAIN_JOB_END::{name}")
        self.send(channel, "TRAINING_JOBS_DONE")  # a failed run changes nothing

    async def track(self, channel, folder, stays):
        def send_log(piece, _end):
            if text := piece.decode("utf-8", "replace").rstrip():
                self.send(channel, f"TRACK_LOG:{text}")

        script = folder / "track-script.sh"
        if not script.exists():
            self.send(channel, "INFERENCE_ERROR::No track script found")
            return
        self.send(channel, "INFERENCE_START")
        lines = script.read_text().replace("\\\n", " ").splitlines()
        for arguments in (match[1].split() for match in map(TRACK_LINE.match, lines) if match):
            self.send(channel, "INFERENCE_JOB_START::inference")
            if status := await self.execute(folder, ["track", *arguments], send_log):
                self.send(channel, f"INFERENCE_JOB_ERROR::inference::{status}")
                return
            self.send(channel, "INFERENCE_JOB_END::inference")
        if (found := sorted(folder.glob("*.predictions.slp"))) and not stays:
            await self.send_file(channel, found[0])  # does not exist in the original either: AttributeError
        self.send(channel, "INFERENCE_JOBS_DONE")

    async def run(self):
        if self.shared_root:
            (self.shared_root / "jobs").mkdir(exist_ok=True)
        self.sign_in()
        stopped = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
        try:
            async with websockets.connect(self.args.signaling_ws) as self.socket:
                await self.register()
                work = [asyncio.ensure_future(w) for w in (self.read_signals(), stopped.wait())]
                await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                emit("ended", reason="signal" if stopped.is_set() else "signaling")
                for task in work:
                    task.cancel()
                for outcome in await asyncio.gather(*work, return_exceptions=True):
                    log("end:", repr(outcome))
                if self.peer:
                    peer, self.peer = self.peer, None
                    await peer.close()
        finally:
            for program in self.programs:
                program.kill()
            delete_peer(self.args.signaling_http, self.peer_id)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signaling-http", required=True)
    parser.add_argument("--signaling-ws", required=True)
    parser.add_argument("--room-id")
    parser.add_argument("--token")
    parser.add_argument("--storage", action="append", default=[], metavar="NAME=BASE")
    parser.add_argument("--shared-root", help="legacy shared storage; also SHARED_STORAGE_ROOT")
    parser.add_argument("--workdir", default=".", help="where RTC packages are saved and unpacked")
    parser.add_argument("--train-program", nargs="+", default=["sleap-nn"], metavar="CMD",
                        help="stands for sleap-nn; words, or one JSON list when it has options of its own")
    args = parser.parse_args()
    if len(args.train_program) == 1 and args.train_program[0].startswith("["):
        args.train_program = json.loads(args.train_program[0])
    return args


if __name__ == "__main__":
    asyncio.run(RTCWorkerClient(parse_args()).run())

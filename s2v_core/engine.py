"""The generation engine: speech in, a video of each method out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from s2v_core.errors import NoSpeechError
from s2v_core.face.align import Still, align_still
from s2v_core.media import audio, video
from s2v_core.media.audio import Speech
from s2v_core.media.pixels import draw_label, to_pictures
from s2v_core.media.provenance import Claim
from s2v_core.methods import CHUNK, Animating, Composing, Face, Method
from s2v_core.models.device import pick_device, pick_precision
from s2v_core.models.model_set import ModelSet
from s2v_core.networks.composer import ComposerConfig
from s2v_core.networks.students import Voice
from s2v_core.paths import target
from s2v_core.rates import SAMPLE_RATE, frame_count, sample_count
from s2v_core.stream import Stream
from s2v_core.streaming.prefetch import prefetch
from s2v_core.streaming.speech_detector import SpeechDetector
from s2v_core.streaming.threads import survive_forks
from s2v_core.vocabulary import METHODS, check_name, check_names

T = TypeVar("T")
# Called with the method, the frames done and the frames in all.
Progress = Callable[[str, int, int], None]
# Called with the method and a frame (H, W, 3) uint8 before it is labelled.
Watch = Callable[[str, np.ndarray], None]


@dataclass(frozen=True)
class Generation:
    """One finished video: ``seconds`` it took to make, ``realtime_factor`` of them per second of speech."""

    method: str
    path: Path
    frames: int
    fps: int
    seconds: float
    realtime_factor: float


class Speech2Video:
    """A model set with its three methods: speech2video, sdfa and s2f_sdfa."""

    def __init__(self, networks: dict[str, Any], model_set: ModelSet, device: torch.device) -> None:
        self.networks = {key: net.to(device) for key, net in networks.items()}
        self.model_set, self.device = model_set, device
        self.config: ComposerConfig = networks["composer"].config
        self.fps = self.config.fps

    @classmethod
    def load(
        cls, model_set: ModelSet, device: str = "auto", precision: str = "auto"
    ) -> Speech2Video:
        """Load a model set; CheckpointError when it is missing or damaged, else as ``s2v_core.load``."""
        survive_forks()
        picked = pick_device(device)
        number = pick_precision(precision, picked)
        networks = model_set.read_networks()
        for key in ("composer", "sdfa", "s2f_sdfa"):
            networks[key].decoder.fold(number)
        return cls(networks, model_set, picked)

    @property
    def name(self) -> str:
        """The model set's name."""
        return self.model_set.name

    def generate(
        self, speech: str | Path, out: str | Path = ".", **options: Any
    ) -> list[Generation]:
        """Make every method's video of ``speech``, see ``generate_each`` for the arguments."""
        return list(self.generate_each(speech, out, **options))

    def generate_each(
        self,
        speech: str | Path,
        out: str | Path = ".",
        methods: Sequence[str] = METHODS,
        reference: str | Path | None = None,
        label: bool = True,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Iterator[Generation]:
        """Yield a Generation for each method as soon as ``out/<stem>.<method>.mp4`` is written.

        ``reference`` is the picture that SDFA animates, by default the model set's portrait; ``label``
        marks every frame as synthetic; ``watch`` is called with every frame before it is marked.
        Raises ValueError for a method that is none of METHODS, AudioError (NoSpeechError where nobody
        speaks) or FaceError before anything is written, OutputError when ``out`` cannot be written.
        """
        check_names("method", methods, METHODS)
        with audio.opened(speech) as pieces:
            self.check_speech(pieces, Path(speech).name)
            still = self.still(reference) if "sdfa" in methods else None
            for method in methods:
                path = target(Path(speech), Path(out), method)
                yield self._write(method, pieces, still, path, label, progress, watch)

    def check_speech(self, speech: Tensor | Speech, name: str) -> None:
        """Raise NoSpeechError unless somebody speaks in ``speech (T,)``; ``name`` is what to call it.

        A model set without a network for it takes every sound for speech.
        """
        detector = self._detector()
        if detector is None:
            return
        for piece in self._pieces(speech):
            detector.feed(piece)
            if detector.found:
                return
        raise NoSpeechError(
            f"Nobody seems to speak in {name}: record a voice, close to the microphone."
        )

    def _detector(self) -> SpeechDetector | None:
        network = self.networks.get("voice_activity")
        return None if network is None else SpeechDetector(network)

    def still(self, reference: str | Path | None) -> Still:
        """Return the aligned face of ``reference``, or of the model's own portrait."""
        picture = reference if reference is not None else self.model_set.portrait
        return align_still(
            picture, self.networks["landmarks"].cpu(), self.config.height, self.config.width
        )

    def stream(
        self,
        method: str = "speech2video",
        still: Still | None = None,
        rate: int = SAMPLE_RATE,
    ) -> Stream:
        """Return a Stream that renders ``method``'s frames while the speech, at ``rate`` Hz, is coming.

        ``still`` is the face that "sdfa" animates, from ``self.still``; by default the model set's own.
        """
        return Stream(self._method(method, still), self.fps, self.device, rate, self._detector())

    def frames(
        self,
        method: str,
        speech: Tensor | Speech,
        still: Still | None = None,
        pose: Tensor | None = None,
        vectors: tuple[Tensor, Tensor] | None = None,
    ) -> Iterator[Tensor]:
        """Yield ``method``'s frames in chunks (n, 3, H, W) in [-1, 1], in order, for ``speech (T,)``.

        ``still`` is the aligned face that "sdfa" animates, turned as it is (by default the model set's
        own). The other methods turn the head as the retrieved face's was on average; "speech2video" can
        be given another ``pose (1, 2)`` (see head_pose), and ``vectors``, mu (1, D_mu) and nu (1, D_nu),
        in place of those retrieved for the voice.
        """
        return self._rendered(self._method(method, still, pose, vectors), speech, Tensor.cpu)

    def _rendered(
        self, method: Method, speech: Tensor | Speech, finish: Callable[[Tensor], T]
    ) -> Iterator[T]:
        """Yield ``finish`` of every chunk of frames, rendered by as many threads as torch may use."""

        def render(chunk: tuple[Tensor, Face]) -> T:
            return finish(method.render(*chunk))

        workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        return prefetch(render, self._encoded(method, speech), workers)

    def _encoded(self, method: Method, speech: Tensor | Speech) -> Iterator[tuple[Tensor, Face]]:
        """Yield the codes of at most CHUNK frames at a time, and the face to render them with."""
        face, encoder = method.retrieve(self._pieces(speech)), method.encoder()
        for piece in self._pieces(speech):
            codes = encoder.feed(piece)
            if len(codes):
                yield codes, face
        for codes in encoder.finish(frame_count(len(speech), self.fps)).split(CHUNK):
            yield codes, face

    def _pieces(self, speech: Tensor | Speech) -> Iterator[Tensor]:
        """Yield ``speech`` in pieces (1, T) of CHUNK frames on the model's device."""
        for piece in speech.split(sample_count(CHUNK, self.fps)):
            yield piece[None].to(self.device)

    def _method(self, name: str, still: Still | None, *given: Any) -> Method:
        check_name("method", name, METHODS)
        if name == "speech2video":
            return Composing(self.networks, *given)
        return Animating(self.networks, (still or self.still(None)) if name == "sdfa" else None)

    def _write(
        self,
        name: str,
        speech: Speech,
        still: Still | None,
        path: Path,
        label: bool,
        progress: Progress | None,
        watch: Watch | None,
    ) -> Generation:
        began = time.perf_counter()
        n_frames = frame_count(len(speech), self.fps)
        method = self._method(name, still)
        pictures = self._pictures(method, speech, label, partial(watch, name) if watch else None)
        report = partial(progress, name) if progress else None
        video.write(
            path,
            pictures,
            n_frames,
            self.fps,
            speech,
            title=path.stem,
            claim=Claim(self.name, name),
            progress=report,
        )
        seconds = time.perf_counter() - began
        factor = seconds * self.fps / n_frames
        return Generation(name, path, n_frames, self.fps, round(seconds, 3), round(factor, 4))

    def _pictures(
        self,
        method: Method,
        speech: Speech,
        label: bool,
        watch: Callable[[np.ndarray], None] | None,
    ) -> Iterator[np.ndarray]:
        """Yield ``method``'s frames (H, W, 3) uint8, marked if ``label``, each after ``watch`` saw it unmarked."""
        if watch is None:
            # The threads that render also draw the mark.
            chunks = self._rendered(method, speech, partial(to_pictures, label=label))
            yield from chain.from_iterable(chunks)
            return
        chunks = self._rendered(method, speech, partial(to_pictures, label=False))
        for picture in chain.from_iterable(chunks):
            watch(picture)
            yield draw_label(picture) if label else picture

    @torch.inference_mode()
    def encode(self, speech: Tensor) -> Voice:
        """Return what the students make of the voice in ``speech (B, T)``, 16 kHz in [-1, 1]."""
        to_context = partial(map, self.networks["cpc"].features)
        return self.networks["students"].encode([speech.to(self.device)], to_context)

    @torch.inference_mode()
    def retrieve(self, speech: Tensor) -> tuple[Tensor, Tensor]:
        """Return emotion mu (B, D_mu) and identity nu (B, D_nu) retrieved for the voice in ``speech (B, T)``."""
        return self.networks["students"].retrieve(self.encode(speech))

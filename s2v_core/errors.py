"""Errors that the user can fix: each says what is wrong and what to do, in one line."""

from __future__ import annotations


class UserError(Exception):
    """A problem that the user can fix; its text is shown as it is, without a traceback."""


class AudioError(UserError):
    """The speech cannot be used: no such file, not audio, silent or too short."""


class NoSpeechError(AudioError):
    """Nobody speaks: noise, music, a tone or silence."""


class FaceError(UserError):
    """The reference picture cannot be used: unreadable, or no face in it."""


class MicrophoneError(UserError):
    """The local microphone cannot be used."""


class ScreenError(UserError):
    """No window can be opened on this computer."""


class CheckpointError(UserError):
    """The weights are missing, damaged or of another model."""


class DeviceError(UserError):
    """This computer does not have the device that was asked for."""


class OutputError(UserError):
    """The result cannot be written where it was asked for."""

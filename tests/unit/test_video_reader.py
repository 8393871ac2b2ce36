"""Reading videos made here: timestamps, folders, damage, rotation, going on, cameras."""

from __future__ import annotations

import functools
import http.server
import itertools
import socket
import threading
import traceback
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from vigilia.errors import BrokenVideoError, OptionError, VideoError, VigiliaError
from vigilia.video import Gap, Sample, VideoReader, open_video, prefetch, probe
from vigilia.video.clocks import LiveClock
from vigilia.video.resize import PictureConverter
from vigilia.video.source import resolve

MILLISECOND = Fraction(1, 1000)


def random_pictures(count: int, height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """(T, H, W, 3) uint8 noise: no two pictures and no two pixels alike."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def write_video(
    path: Path,
    pictures: np.ndarray,
    times: list[int] | None = None,
    *,
    codec: str = "ffv1",
    pixel_format: str | None = None,
    base: Fraction = MILLISECOND,
    rate: int = 10,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes pictures (T, H, W, 3); losslessly as FFV1 unless told otherwise."""
    times = [round(k / rate / base) for k in range(len(pictures))] if times is None else times
    lossless = {"ffv1": "bgr0", "rawvideo": "rgb24", "mjpeg": "yuvj420p"}
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pixel_format or lossless.get(codec, "yuv420p")
        stream.time_base = base
        stream.codec_context.time_base = base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = time, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: str | Path, **options) -> list[tuple[float, bytes]]:
    with open_video(path, **options) as video:
        return [(frame.seconds, frame.pixels.tobytes()) for frame in video]


def told(items) -> list[tuple]:
    return [
        (item.start_seconds, item.end_seconds)
        if isinstance(item, Gap)
        else (item.tick, item.seconds, item.frame_seconds, item.pixels.tobytes())
        for item in items
    ]


def read_until_it_breaks(path: Path, **options) -> tuple[list[float], BrokenVideoError]:
    seconds = []
    with open_video(path, **options) as video:
        try:
            for frame in video:
                seconds.append(frame.seconds)
        except BrokenVideoError as error:
            return seconds, error
    raise AssertionError("it did not break")


# Timestamps


def test_frames_carry_the_containers_timestamps_and_pixels(tmp_path: Path) -> None:
    pictures = random_pictures(6)
    times = [1075, 1100, 1101, 1900, 2000, 7000]
    path = write_video(tmp_path / "a.mkv", pictures, times)
    with open_video(path) as video:
        assert (video.width, video.height, video.live) == (32, 24, False)
        assert video.start_seconds == 1.075
        assert video.parts == (path,)
        frames = list(video)
        assert video.dropped_frames == 0
    assert [frame.seconds for frame in frames] == [time / 1000 for time in times]
    assert np.array_equal(np.stack([frame.pixels for frame in frames]), pictures)


def test_samples_show_the_last_frame_that_is_not_later(tmp_path: Path) -> None:
    pictures = random_pictures(8)
    path = write_video(tmp_path / "a.mkv", pictures, [0, 100, 260, 480, 760, 5000, 5200, 5300])
    with open_video(path) as video:
        items = list(video.samples(fps=4.0, max_gap_seconds=1.0))
    samples = [item for item in items if isinstance(item, Sample)]
    shown = [(item.seconds, item.frame_seconds) for item in samples]
    assert shown == [
        *[(0.0, 0.0), (0.25, 0.1), (0.5, 0.48), (0.75, 0.48), (1.0, 0.76), (1.25, 0.76)],
        *[(1.5, 0.76), (1.75, 0.76), (5.0, 5.0), (5.25, 5.2)],
    ]
    assert [item for item in items if isinstance(item, Gap)] == [Gap(2.0, 5.0)]
    numbers = [0, 1, 3, 3, 4, 4, 4, 4, 5, 6]
    for item, number in zip(samples, numbers, strict=True):
        assert np.array_equal(item.pixels, pictures[number])


def test_frames_that_go_back_in_time_are_dropped_and_counted(tmp_path: Path) -> None:
    pictures = random_pictures(6)
    path = write_video(tmp_path / "source.mkv", pictures, codec="mjpeg")
    stamps = [0, 300, 100, 200, 400, 500]
    with av.open(str(path)) as source, av.open(str(tmp_path / "a.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux() if packet.size]
        for number, (packet, stamp) in enumerate(zip(packets, stamps, strict=True)):
            packet.stream, packet.pts, packet.dts = stream, stamp, min(stamp, number * 100)
            target.mux_one(packet)
    with open_video(tmp_path / "a.mkv") as video:
        assert [frame.seconds for frame in video] == [0.0, 0.3, 0.4, 0.5]
        assert video.dropped_frames == 2


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("threads", [1, 4])
def test_avi_with_b_frames_keeps_every_frame_in_order(
    tmp_path: Path, codec: str, threads: int
) -> None:
    base = Fraction(1, 10)
    path = write_video(
        tmp_path / "a.avi", random_pictures(30), codec=codec, base=base, options={"bf": "2"}
    )
    with open_video(path, threads=threads) as video:
        times = [frame.seconds for frame in video]
        assert video.dropped_frames == 0
    assert len(times) == 30
    assert np.diff(times) == pytest.approx(np.full(29, 0.1))


def write_without_timestamps(tmp_path: Path, pictures: np.ndarray) -> Path:
    path = write_video(tmp_path / "a.mp4", pictures, codec="libx264", rate=25, options={"g": "10"})
    with av.open(str(path)) as source, av.open(str(tmp_path / "a.h264"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return tmp_path / "a.h264"


def test_going_on_does_not_trust_a_seek_without_timestamps(tmp_path: Path) -> None:
    # Five seconds of one picture, then noise: a seek cannot tell where in the five it landed.
    still = random_pictures(1).repeat(125, axis=0)
    path = write_without_timestamps(tmp_path, np.concatenate([still, random_pictures(50, seed=1)]))
    with open_video(path) as video:
        items = list(video.samples(fps=4.0))
    for number in (12, 16, 19):
        with open_video(path) as video:
            rest = told(video.samples(fps=4.0, resume=items[number].position))
        assert rest == told(items[number + 1 :])


def test_missing_timestamps_follow_the_nominal_interval(tmp_path: Path) -> None:
    with open_video(write_without_timestamps(tmp_path, random_pictures(20))) as video:
        times = [frame.seconds for frame in video]
    assert len(times) == 20
    assert np.diff(times) == pytest.approx(np.full(19, 0.04))


def test_negative_timestamps_are_times_like_others(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mkv",
        random_pictures(5),
        [-200, -100, 0, 100, 200],
        container_options={"avoid_negative_ts": "disabled"},
    )
    with open_video(path) as video:
        assert [item.seconds for item in video.samples(fps=10.0)] == pytest.approx(
            [-0.2, -0.1, 0.0, 0.1, 0.2]
        )


def test_beginning_later_shows_the_same_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", random_pictures(80), codec="libx264", rate=10)
    whole = read(path)
    for start in (0.0, 0.35, 3.0, 6.61, 7.9):
        with open_video(path, start_seconds=start) as video:
            assert video.start_seconds == start
            rest = [(frame.seconds, frame.pixels.tobytes()) for frame in video]
        shown = max(seconds for seconds, _ in whole if seconds <= start)
        assert rest == [frame for frame in whole if frame[0] >= shown]
    with pytest.raises(VideoError, match="beyond the end"):
        open_video(path, start_seconds=9.0)


# Pixels


def test_threads_change_no_pixel(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", random_pictures(25, 90, 120), codec="libx264")
    assert read(path, threads=1, width=32, height=40) == read(path, threads=4, width=32, height=40)


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_recordings_are_shown_upright(tmp_path: Path, rotation: int) -> None:
    upright = random_pictures(3)
    # Stored as a camera held askew stores it: turned the other way.
    stored = np.rot90(upright, -rotation // 90, axes=(1, 2))
    path = write_video(
        tmp_path / "a.mov", stored, codec="rawvideo", rotation=rotation, base=Fraction(1, 10)
    )
    with av.open(str(path)) as container:
        assert abs(next(container.decode(video=0)).rotation) == abs(rotation)
    with open_video(path) as video:
        assert (video.width, video.height) == (32, 24)
        frames = np.stack([frame.pixels for frame in video])
    assert np.array_equal(frames, upright)
    with open_video(path, width=16, height=8) as video:
        assert next(video).pixels.shape == (8, 16, 3)


def test_a_nonsense_rotation_is_ignored() -> None:
    from vigilia.video.resize import quarter_turns

    for degrees, turns in [(0, 0), (90, 1), (-90, 3), (180, 2), (-180, 2), (-(2**31), 0), (45, 0)]:
        assert quarter_turns(SimpleNamespace(rotation=degrees)) == turns


def test_wide_pixels_widen_the_picture(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4", random_pictures(2), codec="libx264", aspect=Fraction(3, 2)
    )
    with open_video(path) as video:
        assert (video.width, video.height) == (48, 24)
        assert next(video).pixels.shape == (24, 48, 3)


def test_shrinking_averages_over_the_area(tmp_path: Path) -> None:
    checks = np.indices((64, 64)).sum(0) % 2 * 255  # a checkerboard of single pixels
    pictures = np.repeat(checks[None, :, :, None], 3, axis=3).astype(np.uint8)
    path = write_video(tmp_path / "a.mkv", pictures)
    with open_video(path, width=8, height=8) as video:
        pixels = next(video).pixels
    assert np.abs(pixels.astype(int) - 127).max() < 12


def test_only_frames_that_are_shown_are_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = []
    original = PictureConverter.__call__

    def count(self, picture, width, height):
        converted.append(picture.pts)
        return original(self, picture, width, height)

    monkeypatch.setattr(PictureConverter, "__call__", count)
    path = write_video(tmp_path / "a.mkv", random_pictures(40), rate=20)
    with open_video(path) as video:
        items = list(video.samples(fps=2.0))
    assert len(items) == len(converted) == 4


def test_a_size_goes_in_pairs_and_is_positive(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", random_pictures(2))
    with pytest.raises(OptionError, match="go together"):
        open_video(path, width=4)
    with pytest.raises(OptionError, match="positive"):
        open_video(path, width=4, height=0)


# Folders


def test_a_folder_of_chunks_is_one_recording_laid_end_to_end(tmp_path: Path) -> None:
    pictures = random_pictures(9)
    write_video(tmp_path / "chunk2.mkv", pictures[3:6], [5000, 5100, 5200])
    write_video(tmp_path / "chunk10.mkv", pictures[6:])
    write_video(tmp_path / "chunk1.mkv", pictures[:3], [700, 800, 900])
    with open_video(tmp_path) as video:
        assert [path.name for path in video.parts] == ["chunk1.mkv", "chunk2.mkv", "chunk10.mkv"]
        frames = list(video)
    expected = [0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    assert [frame.seconds for frame in frames] == pytest.approx(expected)
    assert np.array_equal(np.stack([frame.pixels for frame in frames]), pictures)
    assert frames[4].part == "chunk2.mkv"


def test_parts_of_another_size_are_resized_to_the_first(tmp_path: Path) -> None:
    write_video(tmp_path / "1.mkv", random_pictures(2, 24, 32))
    write_video(tmp_path / "2.mkv", random_pictures(2, 48, 64))
    with open_video(tmp_path) as video:
        assert {frame.pixels.shape for frame in video} == {(24, 32, 3)}


def test_an_empty_chunk_in_the_middle_breaks_the_recording_there(tmp_path: Path) -> None:
    write_video(tmp_path / "1.mkv", random_pictures(3))
    (tmp_path / "2.mkv").touch()
    seconds, error = read_until_it_breaks(tmp_path)
    assert len(seconds) == 3
    assert error.seconds == seconds[-1]
    assert "2.mkv" in str(error)


# Going on


@pytest.mark.parametrize("kind", ["mp4", "avi", "mkv", "folder"])
def test_going_on_after_any_sample_gives_the_rest_bit_for_bit(tmp_path: Path, kind: str) -> None:
    times = [0, 100, 200, 400, 450, 900, 4000, 4100, 4200, 4210, 4600, 5000]
    times += [5100 + 100 * k for k in range(40)]
    pictures = random_pictures(len(times))
    options = {"width": 16, "height": 16}
    if kind == "mp4":
        path = write_video(tmp_path / "a.mp4", pictures, times, codec="libx264")
    elif kind == "avi":
        path = write_video(
            tmp_path / "a.avi", pictures, codec="mpeg4", base=Fraction(1, 10), options={"bf": "2"}
        )
    elif kind == "mkv":
        path = write_video(tmp_path / "a.mkv", pictures, times)
    else:
        path = tmp_path / "chunks"
        path.mkdir()
        for number in range(4):
            part = slice(13 * number, 13 * number + 13)
            write_video(path / f"{number}.mkv", pictures[part], times[part])
    with open_video(path, **options) as video:
        items = list(video.samples(fps=7.0, max_gap_seconds=0.5))
        last = video.position
    assert last == items[-1].position
    assert sum(isinstance(item, Gap) for item in items) == (0 if kind == "avi" else 1)
    numbers = [number for number, item in enumerate(items) if isinstance(item, Sample)]
    for number in numbers[::5] + numbers[-1:]:
        with open_video(path, **options) as video:
            rest = video.samples(fps=7.0, max_gap_seconds=0.5, resume=items[number].position)
            assert told(rest) == told(items[number + 1 :])


def test_going_on_seeks_instead_of_decoding_everything_again(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", random_pictures(300))
    with open_video(path) as video:
        items = list(video.samples(fps=2.0))
    decoded: list[object] = []
    with VideoReader(resolve(path), on_picture=decoded.append) as video:
        assert told(video.samples(fps=2.0, resume=items[-3].position)) == told(items[-2:])
    assert len(decoded) < 60


def test_going_on_in_another_video_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", random_pictures(30, seed=1))
    with open_video(path) as video:
        position = list(video.samples(fps=4.0))[5].position
    write_video(path, random_pictures(30, seed=2))
    with open_video(path) as video, pytest.raises(VideoError, match="has changed since the run"):
        video.samples(fps=4.0, resume=position)


def test_chunks_that_were_deleted_before_the_position_do_not_matter(tmp_path: Path) -> None:
    for number in range(3):
        write_video(tmp_path / f"{number}.mkv", random_pictures(10, seed=number))
    with open_video(tmp_path) as video:
        items = list(video.samples(fps=4.0))
    (tmp_path / "0.mkv").unlink()
    with open_video(tmp_path) as video:
        assert told(video.samples(fps=4.0, resume=items[6].position)) == told(items[7:])
    (tmp_path / "1.mkv").unlink()
    with open_video(tmp_path) as video, pytest.raises(VideoError, match=r"1\.mkv"):
        video.samples(fps=4.0, resume=items[6].position)


# Damage and mistakes


def check_message(error: BaseException, name: str) -> None:
    message = str(error)
    assert name in message
    assert "\n" not in message
    assert ";" in message, "it says what to do"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "empty"), (b"not a video at all, just text\n" * 50, "cannot be opened as a video")],
)
def test_files_that_are_no_videos_are_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=problem) as caught:
        open_video(path)
    check_message(caught.value, str(path))
    with pytest.raises(VideoError, match=problem):
        probe(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file") as caught:
        open_video(tmp_path / "absent.mp4")
    check_message(caught.value, "absent.mp4")
    with pytest.raises(VideoError, match="no such file"):
        probe(tmp_path / "absent.mp4")


def test_a_file_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "a.mkv", random_pictures(2))

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(VideoError, match="permission") as caught:
        open_video(path)
    check_message(caught.value, str(path))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match="only sound"):
        open_video(path)


def test_a_name_with_a_colon_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.mkv", random_pictures(2)).rename(tmp_path / "12:30 #1.mkv")
    monkeypatch.chdir(tmp_path)
    assert len(read("12:30 #1.mkv")) == 2


def test_a_copy_that_was_interrupted_delivers_what_is_there(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        random_pictures(40),
        codec="libx264",
        options={"bf": "0"},
        container_options={"movflags": "faststart"},
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    seconds, error = read_until_it_breaks(path)
    assert 5 < len(seconds) < 40
    assert error.seconds == seconds[-1]
    assert f"{seconds[-1]:.3f} s" in str(error)
    check_message(error, str(path))


def damaged_video(tmp_path: Path, packet: int = 20) -> Path:
    """40 pictures, of which one packet's data is nonsense."""
    path = write_video(tmp_path / "a.mp4", random_pictures(40), codec="libx264")
    with av.open(str(path)) as container:
        damaged = list(container.demux())[packet]
    content = bytearray(path.read_bytes())
    content[damaged.pos : damaged.pos + damaged.size] = b"\xff" * damaged.size
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packet", [20, 35, 38, 39])
def test_damage_half_way_delivers_the_same_frames_with_any_number_of_threads(
    tmp_path: Path, packet: int
) -> None:
    path = damaged_video(tmp_path, packet)
    seconds, error = read_until_it_breaks(path, threads=1)
    assert packet - 5 < len(seconds) < 40
    assert error.seconds == seconds[-1]
    check_message(error, str(path))
    for threads in (0, 2, 8):
        assert read_until_it_breaks(path, threads=threads)[0] == seconds


def test_a_decoder_that_swallows_the_rest_of_a_file_is_noticed(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        random_pictures(40, 64, 64),
        codec="libx265",
        options={"x265-params": "log-level=none"},
    )
    with av.open(str(path)) as container:
        damaged = list(container.demux())[20]
    content = bytearray(path.read_bytes())
    content[damaged.pos + 8 : damaged.pos + damaged.size] = b"\xff" * (damaged.size - 8)
    path.write_bytes(content)
    for threads in (1, 4):
        seconds, error = read_until_it_breaks(path, threads=threads)
        assert len(seconds) == 20
        assert error.seconds == seconds[-1]


def test_nothing_of_ffmpeg_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read_until_it_breaks(damaged_video(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_the_largest_stream_is_read_unless_another_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for height, width in ((24, 32), (48, 64), (12, 16)):
            stream = container.add_stream("ffv1", rate=10)
            stream.height, stream.width, stream.pix_fmt = height, width, "bgr0"
            streams.append(stream)
        for stream in streams:
            picture = random_pictures(1, stream.height, stream.width)[0]
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = 0, MILLISECOND
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    with open_video(path) as video:
        assert (video.width, video.height) == (64, 48)
    with open_video(path, stream=2) as video:
        assert (video.width, video.height) == (16, 12)
    with pytest.raises(OptionError, match="stream=3"):
        open_video(path, stream=3)
    info = probe(path)
    assert info.streams == ("ffv1 32x24", "ffv1 64x48", "ffv1 16x12")
    assert (info.stream, info.width, info.height, info.audio_streams) == (1, 64, 48, 0)


def test_eco_shows_fewer_frames_of_a_video_with_b_frames(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.mp4",
        random_pictures(40),
        codec="libx264",
        options={"bf": "2", "x264-params": "b-pyramid=0:b-adapt=0"},
    )
    exact, eco = dict(read(path)), dict(read(path, eco=True))
    assert len(eco) < len(exact) == 40
    assert all(exact[seconds] == pixels for seconds, pixels in eco.items())


def test_frames_come_out_of_a_thread_as_well(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", random_pictures(20))
    with open_video(path) as video:
        expected = told(video.samples(fps=4.0))
    with open_video(path) as video:
        assert told(prefetch(video.samples(fps=4.0), size=2)) == expected


def test_a_reader_may_be_closed_while_a_thread_reads(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", random_pictures(200))
    for _ in range(5):
        with open_video(path) as video:
            frames = prefetch(video, size=4)
            assert len(list(itertools.islice(frames, 3))) == 3
        assert len(list(frames)) <= 5
    video.close()


# Addresses and cameras


# In pieces, because a traceback quotes the line of this file that holds the address.
SECRET = "s3" + "cret"


def all_text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error.__context__)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_camera_that_is_away_is_named_without_its_password(scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(VideoError) as caught:
        open_video(f"{scheme}://user:{SECRET}@127.0.0.1:{port}/pen?password={SECRET}")
    check_message(caught.value, f"{scheme}://127.0.0.1:{port}/pen")
    assert SECRET not in all_text(caught.value)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


def test_a_file_on_a_web_server_reads_like_a_file(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", random_pictures(20))
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://user:{SECRET}@127.0.0.1:{server.server_port}"
        with open_video(f"{address}/a.mkv") as video:
            assert video.parts == ()
            assert not video.live, "it has a length"
            assert SECRET not in video.name + repr(video)
            frames = [(frame.seconds, frame.pixels.tobytes()) for frame in video]
        with pytest.raises(VideoError) as caught:
            open_video(f"{address}/absent.mkv")
        server.shutdown()
    assert frames == read(path)
    assert SECRET not in all_text(caught.value)


def test_a_stream_over_the_network_is_live_and_ends_with_its_sender(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.ts", random_pictures(50), codec="mpeg2video", rate=25, base=Fraction(1, 25)
    )
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(path.read_bytes())

        threading.Thread(target=send, daemon=True).start()
        with open_video(f"tcp://127.0.0.1:{server.getsockname()[1]}") as video:
            assert video.live
            assert video.duration_seconds is None
            times = [frame.seconds for frame in video]
            with pytest.raises(VideoError, match="camera"):
                video.samples(fps=1.0, resume=Sample(np.zeros((1, 1, 3)), 0.0, 0.0).position)
    assert len(times) == 50
    assert np.diff(times) == pytest.approx(np.full(49, 0.04), abs=1e-4)


def test_a_camera_without_timestamps_is_timed_by_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("vigilia.video.clocks.time.monotonic", lambda: now[0])
    clock = LiveClock()

    def arrive(at: float, pts: int | None) -> float:
        now[0] = at
        return clock.read(SimpleNamespace(pts=pts, time_base=MILLISECOND))[0]

    assert arrive(100.0, None) == 0.0
    assert arrive(100.5, None) == 0.5
    assert arrive(100.54, 7_000_000) == pytest.approx(0.54)  # its clock starts anywhere
    assert arrive(100.70, 7_000_040) == pytest.approx(0.58)  # its clock is better than ours
    assert arrive(101.70, 25) == pytest.approx(1.58)  # it restarted its clock
    assert arrive(101.74, 65) == pytest.approx(1.62)


def test_a_cameras_own_timestamps_are_kept() -> None:
    clock = LiveClock()
    stamps = [500, 540, 530, 580]
    times = [clock.read(SimpleNamespace(pts=pts, time_base=MILLISECOND))[0] for pts in stamps]
    assert times == [0.5, 0.54, 0.53, 0.58]


def test_every_error_of_this_room_is_ours() -> None:
    assert issubclass(VideoError, VigiliaError)
    assert issubclass(BrokenVideoError, VideoError)

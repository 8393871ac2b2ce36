"""Real recordings that are odd in some way: what comes out of each, and that resuming is exact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest

from vigilia.errors import BrokenVideoError, VideoError
from vigilia.video import Gap, Sample, open_video, probe


@dataclass(frozen=True)
class Odd:
    """What is known of a file: frames, first and last time, displayed size, error."""

    frames: int
    first_seconds: float = 0.0
    last_seconds: float = 0.0
    size: tuple[int, int] = (0, 0)
    error: type[VideoError] | None = None
    problem: str = ""


ODD = {
    "Freezing_calibration.wmv": Odd(298, 0.0, 9.899, (320, 240)),
    # AVI stores no presentation times: 88 of these seem to go back in time if FFmpeg's are taken.
    "Megamind_bugy.avi": Odd(270, 1 / 30, 9.0, (720, 528)),
    "av1_video.mkv": Odd(125, 0.0, 4.96, (640, 360)),
    "carphone_distorted.mp4": Odd(120, 0.0, 119 * 1001 / 30000, (193, 144)),  # SAR 128:117
    "chunk_out_of_range.mp4": Odd(0, error=VideoError, problem="cannot be opened"),
    "corrupted.mp4": Odd(28, 0.0, 2.7, (1280, 720), BrokenVideoError, "broken after 2.700 s"),
    "counter.mp4": Odd(30, 0.0, 2.9, (1920, 1080)),
    "delayed_start.mp4": Odd(24, 1.075, 1.995, (480, 320)),
    "exactly_32_frames.mp4": Odd(32, 0.0, 16 / 15, (455, 256)),  # SAR 1024:765
    "goldeneye-vfr-drop3.mp4": Odd(160, 0.0, 238 * 1001 / 24000, (1280, 544)),
    "h265_10bits.mp4": Odd(30, 0.0, 29 / 30, (200, 200)),
    "hmdb51_cartwheel_bad_metadata.avi": Odd(83, 2 / 30, 84 / 30, (320, 240)),
    "invalid_userdata.mp4": Odd(0, error=VideoError, problem="not one frame"),
    "issue-134-rotate.mp4": Odd(240, 0.0, 239 * 1001 / 24000, (544, 1280)),
    "nasa_13013.mp4": Odd(390, 0.0, 389 * 1001 / 30000, (480, 270)),
    "newtonscradle.gif": Odd(36, 0.0, 0.8, (200, 150)),
    "no_timescale.mp4": Odd(8, 0.0664, 0.2988, (320, 240), BrokenVideoError, "broken after 0.299"),
    "short-cenc.mp4": Odd(0, error=VideoError, problem="encrypted"),
    "sine-3s-xhe-aac-44khz-mono.mp4": Odd(0, error=VideoError, problem="only sound"),
    "test.webm": Odd(94, 0.0, 3.104, (640, 480)),
    "three_frames.mp4": Odd(3, 0.0, 0.2, (560, 320)),
    "tiny_av1.mp4": Odd(1, 0.0, 0.0, (64, 64)),
    "tree.avi": Odd(68, 0.0, 29.533481, (320, 240)),
    "unordered.mov": Odd(4, 0.0, 3 / 32, (50, 50)),
    "video_0.mov": Odd(3, 0.0, 2 / 30, (568, 320)),
    "video_180.mov": Odd(3, 0.0, 2 / 30, (568, 320)),
    "video_90.mov": Odd(3, 0.0, 2 / 30, (320, 568)),
    "video_colr_nclx_two_colr.mp4": Odd(3, 0.0, 0.08, (2, 2)),
    "white.mp4": Odd(300, 0.0, 299 / 30, (320, 240)),
}
OPENED = [name for name, odd in ODD.items() if odd.frames]


@pytest.fixture(scope="module")
def odd_folder(shared_data: Path) -> Path:
    return shared_data / "odd"


def told(items) -> list[tuple]:
    return [
        (item.start_seconds, item.end_seconds)
        if isinstance(item, Gap)
        else (item.tick, item.seconds, item.frame_seconds, item.pixels.tobytes())
        for item in items
    ]


def test_the_table_lists_every_odd_file(odd_folder: Path) -> None:
    assert {path.name for path in odd_folder.iterdir()} == set(ODD)


@pytest.mark.parametrize("name", ODD)
def test_odd_files_give_what_is_in_them(
    odd_folder: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path, odd = odd_folder / name, ODD[name]
    times: list[float] = []
    error: VideoError | None = None
    try:
        with open_video(path) as video:
            for frame in video:
                times.append(frame.seconds)
                assert (video.width, video.height) == frame.pixels.shape[1::-1] == odd.size
            assert video.dropped_frames == 0
    except VideoError as raised:
        error = raised
    assert len(times) == odd.frames
    assert type(error) is (odd.error or type(None))
    if times:
        assert times[0] == pytest.approx(odd.first_seconds)
        assert times[-1] == pytest.approx(odd.last_seconds)
        assert times == sorted(set(times))
    if error is not None:
        assert odd.problem in str(error)
        assert str(path) in str(error)
        assert "\n" not in str(error)
    if isinstance(error, BrokenVideoError):
        assert error.seconds == times[-1]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", OPENED)
def test_resuming_anywhere_gives_the_rest_bit_for_bit(odd_folder: Path, name: str) -> None:
    def run(resume=None, threads=0) -> list[Sample | Gap]:
        items: list[Sample | Gap] = []
        with open_video(odd_folder / name, width=16, height=16, threads=threads) as video:
            try:
                for item in video.samples(fps=7.0, max_gap_seconds=0.5, resume=resume):
                    items.append(item)
            except BrokenVideoError:
                assert ODD[name].error is BrokenVideoError
        return items

    whole = run()
    assert told(run(threads=1)) == told(whole)
    numbers = [number for number, item in enumerate(whole) if isinstance(item, Sample)]
    for number in {numbers[0], numbers[len(numbers) // 3], numbers[-2:][0], numbers[-1]}:
        assert told(run(whole[number].position)) == told(whole[number + 1 :])


def test_the_counter_shows_the_frame_before_each_tick(odd_folder: Path) -> None:
    with open_video(odd_folder / "counter.mp4") as video:
        assert video.frame_rate == 10.0
        assert video.duration_seconds == 3.0
        items = list(video.samples(fps=4.0))
    assert [item.seconds for item in items] == [k / 4 for k in range(12)]
    shown = [0.0, 0.2, 0.5, 0.7, 1.0, 1.2, 1.5, 1.7, 2.0, 2.2, 2.5, 2.7]
    assert [item.frame_seconds for item in items] == shown
    with open_video(odd_folder / "counter.mp4") as video:
        frames = {frame.seconds: frame.pixels for frame in video}
    for item in items:
        assert np.array_equal(item.pixels, frames[item.frame_seconds])


def test_a_delayed_start_is_not_moved_to_zero(odd_folder: Path) -> None:
    with open_video(odd_folder / "delayed_start.mp4") as video:
        assert video.start_seconds == 1.075
        items = list(video.samples(fps=4.0))
    assert [item.seconds for item in items] == [1.075, 1.325, 1.575, 1.825]
    with open_video(odd_folder / "delayed_start.mp4", start_seconds=0.0) as video:
        first, second = list(video.samples(fps=4.0))[:2]
    assert first == Gap(0.0, 1.25)
    assert (second.tick, second.seconds, second.frame_seconds) == (5, 1.25, 1.235)


def test_short_pauses_between_frames_are_held_and_long_ones_are_gaps(odd_folder: Path) -> None:
    with open_video(odd_folder / "tree.avi", width=8, height=8) as video:
        held = list(video.samples(fps=4.0))
    assert all(isinstance(item, Sample) for item in held)
    assert len(held) == 119
    with open_video(odd_folder / "tree.avi", width=8, height=8) as video:
        strict = list(video.samples(fps=4.0, max_gap_seconds=0.2))
    gaps = [item for item in strict if isinstance(item, Gap)]
    assert gaps[0] == Gap(0.25, 0.75)
    assert len(gaps) > 20


def test_another_stream_can_be_asked_for(odd_folder: Path) -> None:
    info = probe(odd_folder / "nasa_13013.mp4")
    assert info.streams == ("h264 320x180", "h264 480x270")
    assert info.stream == 1
    with open_video(odd_folder / "nasa_13013.mp4", stream=0) as video:
        assert (video.width, video.height) == (320, 180)
        assert sum(1 for _ in video) == 325


def test_rotated_recordings_are_upright(odd_folder: Path) -> None:
    # Turns checked by eye: three views of one keyboard, whose letters stand upright.
    for name, turns in [("video_90.mov", -1), ("video_180.mov", 2), ("video_0.mov", 0)]:
        with av.open(str(odd_folder / name)) as container:
            stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
        with open_video(odd_folder / name) as video:
            assert np.array_equal(next(video).pixels, np.rot90(stored, turns))


def test_a_static_recording_is_sampled_like_any_other(odd_folder: Path) -> None:
    with open_video(odd_folder / "white.mp4", width=4, height=4) as video:
        items = list(video.samples(fps=4.0))
    assert len(items) == 40
    assert items[-1].seconds == 9.75


def test_real_clips_with_b_frames_in_avi_lose_nothing(shared_data: Path) -> None:
    for name, count in [
        ("wave__RATRACE_wave_f_nm_np1_fr_goo_37.avi", 72),
        ("wave__TrumanShow_wave_f_nm_np1_fr_med_26.avi", 48),
        ("apply_eye_makeup__test.avi", 164),
    ]:
        with open_video(shared_data / "clips" / name, width=8, height=8) as video:
            times = [frame.seconds for frame in video]
            assert video.dropped_frames == 0
        assert len(times) == count
        assert np.diff(times).min() > 0
        assert np.diff(times).max() < 0.08

from server.domain.row_times import RowTime
from server.store.store import Store


def point(rows: int, seconds: float, model: str = "storybook-xl") -> RowTime:
    return RowTime(
        hardware="a card, torch 2",
        model=model,
        fingerprint="abc",
        bucket="(1, 4, 64, 64)",
        rows=rows,
        seconds=seconds,
    )


async def test_points_are_kept_and_the_newest_of_a_place_stays(store: Store) -> None:
    assert await store.row_times.all() == ()
    for one in (point(1, 0.5), point(2, 0.7), point(1, 0.4), point(1, 9.0, model="other")):
        await store.row_times.save(one)
    kept = {(one.model, one.rows): one.seconds for one in await store.row_times.all()}
    assert kept == {("storybook-xl", 1): 0.4, ("storybook-xl", 2): 0.7, ("other", 1): 9.0}
    assert point(2, 0.7) in await store.row_times.all()

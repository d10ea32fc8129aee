from datetime import timedelta

from server.domain.keys import ApiKey, Scope
from server.store.store import Store
from tests.store.values import NOW, new_id


def a_key(**changes: object) -> ApiKey:
    values = {
        "id": new_id(),
        "name": "laptop",
        "owner": "ana",
        "scopes": (Scope.GENERATE, Scope.ADMIN),
        "prefix": "gr-abcd",
        "created_at": NOW,
        "last_used_at": None,
        "revoked_at": None,
    }
    return ApiKey.model_validate(values | changes)


async def test_a_key_is_found_by_its_hash_alone(store: Store) -> None:
    key = a_key(name="Ana's \0 laptop 💻")
    await store.keys.add(key, "hash")
    assert await store.keys.by_hash("hash") == key
    assert await store.keys.by_hash("Hash") is None
    assert await store.keys.by_hash("") is None


async def test_a_key_is_revoked_once_and_stays_listed(store: Store) -> None:
    old, new = a_key(), a_key()
    await store.keys.add(old, "1")
    await store.keys.add(new, "2")
    revoked = await store.keys.revoke(old.id, NOW)
    assert revoked == old.model_copy(update={"revoked_at": NOW})
    assert await store.keys.revoke(old.id, NOW + timedelta(days=1)) == revoked
    assert await store.keys.revoke(new_id(), NOW) is None
    assert await store.keys.list() == [new, revoked]
    assert await store.greatest_id() == new.id


async def test_the_last_use_of_a_key_is_noted(store: Store) -> None:
    key = a_key()
    await store.keys.add(key, "hash")
    await store.keys.touch(key.id, NOW)
    found = await store.keys.by_hash("hash")
    assert found is not None
    assert found.last_used_at == NOW


async def test_rates_are_kept_by_device_and_the_newest_stays(store: Store) -> None:
    await store.rates.save("cuda:0", "scribble-xl", 1e-13)
    await store.rates.save("cuda:0", "scribble-xl", 1.25e-13)
    await store.rates.save("cpu", "scribble-xl", 3e-11)
    assert await store.rates.all("cuda:0") == {"scribble-xl": 1.25e-13}
    assert await store.rates.all("cuda:1") == {}

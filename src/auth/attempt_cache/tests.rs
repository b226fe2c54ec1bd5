use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Client of tests in which the client does not matter.
const CLIENT: ClientNetwork = ClientNetwork::UNKNOWN;

fn key(number: u64) -> AttemptKey {
    // The keys are spread over the rows as digests are.
    let mut key = [1; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    key
}

#[test]
fn an_answer_is_worked_out_once() {
    let attempt_cache = AttemptCache::new(4);
    let times = AtomicUsize::new(0);
    for answer in [true, false] {
        times.store(0, Ordering::Relaxed);
        let ask = || {
            attempt_cache.verify(CLIENT, &key(u64::from(answer)), true, || {
                times.fetch_add(1, Ordering::Relaxed);
                answer
            })
        };
        assert_eq!([ask(), ask(), attempt_cache.recall(&key(u64::from(answer)))], [Some(answer); 3]);
        assert_eq!(times.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn an_answer_that_does_not_keep_is_worked_out_again() {
    let attempt_cache = AttemptCache::new(4);
    assert_eq!(attempt_cache.verify(CLIENT, &key(1), false, || true), Some(true));
    assert_eq!(attempt_cache.recall(&key(1)), None);
    assert_eq!(attempt_cache.verify(CLIENT, &key(1), false, || false), Some(false));
}

#[test]
fn an_answer_being_worked_out_is_waited_for_without_a_worker() {
    let attempt_cache = AttemptCache::new(8);
    let outcome = attempt_cache.verify(CLIENT, &key(1), true, || {
        let again = attempt_cache.verify(CLIENT, &key(1), true, || unreachable!("it is being worked out"));
        assert_eq!(again, None);
        true
    });
    assert_eq!(outcome, Some(true));
    assert!(attempt_cache.lock().running.is_empty());
}

#[test]
fn the_slots_are_given_to_clients_in_turn() {
    let attempt_cache = AttemptCache::new(1);
    let other = ClientNetwork::from_address([192, 0, 2, 2].into());
    attempt_cache.verify(CLIENT, &key(1), true, || {
        for guess in 2..20 {
            assert_eq!(attempt_cache.verify(CLIENT, &key(guess), true, || unreachable!("no slot")), None);
        }
        assert_eq!(attempt_cache.verify(other, &key(20), true, || unreachable!("no slot")), None);
        false
    });
    assert_eq!(attempt_cache.verify(CLIENT, &key(2), true, || false), Some(false));
    assert_eq!(attempt_cache.verify(CLIENT, &key(3), true, || unreachable!("the other's turn")), None);
    assert_eq!(attempt_cache.verify(other, &key(20), true, || true), Some(true));
}

#[test]
fn a_full_house_is_told_at_once_and_known_answers_still_come() {
    let attempt_cache = AttemptCache::new(1);
    attempt_cache.verify(CLIENT, &key(1), true, || true);
    let outcome = attempt_cache.verify(CLIENT, &key(2), true, || {
        // Called from within the computation: the only slot is taken by this attempt.
        assert_eq!(attempt_cache.verify(CLIENT, &key(3), true, || unreachable!("no place")), None);
        assert_eq!(attempt_cache.verify(CLIENT, &key(1), true, || unreachable!("known")), Some(true));
        false
    });
    assert_eq!(outcome, Some(false));
}

#[test]
fn a_panic_gives_its_place_back() {
    let attempt_cache = AttemptCache::new(1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        attempt_cache.verify(CLIENT, &key(1), true, || panic!("while hashing"))
    }));
    assert!(panicked.is_err());
    assert_eq!(attempt_cache.verify(CLIENT, &key(1), true, || true), Some(true));
}

#[test]
fn wrong_guesses_never_push_out_right_answers() {
    let attempt_cache = AttemptCache::new(1);
    attempt_cache.verify(CLIENT, &key(0), true, || true);
    for guess in 1..20_000 {
        attempt_cache.verify(CLIENT, &key(guess), true, || false);
    }
    assert_eq!(attempt_cache.recall(&key(0)), Some(true));
}

#[test]
fn the_oldest_of_a_row_makes_room() {
    let mut recent = RecentAttempts::new(1);
    for number in 1..=5 {
        recent.insert(&key(number));
    }
    assert_eq!(
        (1..=5).map(|number| recent.contains(&key(number))).collect::<Vec<_>>(),
        [false, true, true, true, true]
    );
}

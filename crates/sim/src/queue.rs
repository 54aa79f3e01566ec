//! What is to come, by time and then by order of scheduling.
//!
//! Almost everything is due within a few seconds, so a wheel of one bucket a millisecond takes it; what lies
//! further ahead waits in a map and is moved into the wheel when its turn comes.

use std::collections::BTreeMap;

/// Buckets of the wheel: a power of two.
const SPAN: u64 = 4096;

/// A queue of items by due time; those of one millisecond come in the order in which they were put in.
#[derive(Debug)]
pub struct Queue<T> {
    wheel: Vec<Vec<T>>,
    /// Due later than the wheel reaches.
    far: BTreeMap<u64, Vec<T>>,
    now_ms: u64,
    /// The bucket of `now_ms`, turned round: its last item is the next.
    current: Vec<T>,
    /// Empty buckets with room: what was used last is used again first.
    spare: Vec<Vec<T>>,
    waiting: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            wheel: (0..SPAN).map(|_| Vec::new()).collect(),
            far: BTreeMap::new(),
            now_ms: 0,
            current: Vec::new(),
            spare: Vec::new(),
            waiting: 0,
        }
    }
}

fn bucket(at_ms: u64) -> usize {
    usize::try_from(at_ms % SPAN).expect("below the wheel's span")
}

impl<T> Queue<T> {
    /// Puts an item in. What is due already comes after everything of the present millisecond that was put
    /// in before it.
    pub fn push(&mut self, at_ms: u64, item: T) {
        let at_ms = at_ms.max(self.now_ms);
        self.waiting += 1;
        if at_ms - self.now_ms < SPAN {
            let due = &mut self.wheel[bucket(at_ms)];
            if due.capacity() == 0 {
                *due = self.spare.pop().unwrap_or_default();
            }
            due.push(item);
        } else {
            self.far.entry(at_ms).or_default().push(item);
        }
    }

    /// Items that are to come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nothing is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Takes the next item that is due at `until_ms` or before, with its time.
    pub fn pop(&mut self, until_ms: u64) -> Option<(u64, T)> {
        loop {
            if let Some(item) = self.current.pop() {
                self.waiting -= 1;
                return Some((self.now_ms, item));
            }
            let due = &mut self.wheel[bucket(self.now_ms)];
            if !due.is_empty() {
                let emptied = std::mem::replace(&mut self.current, std::mem::take(due));
                self.spare.push(emptied);
                self.current.reverse();
                continue;
            }
            if self.now_ms >= until_ms || self.waiting == 0 {
                return None;
            }
            self.advance();
        }
    }

    /// One millisecond on. What was far and now comes into reach had been put in before anything else could
    /// be put into its bucket.
    fn advance(&mut self) {
        self.now_ms += 1;
        let reach = self.now_ms + SPAN - 1;
        if let Some(entry) = self.far.first_entry()
            && *entry.key() <= reach
        {
            let (at_ms, items) = entry.remove_entry();
            self.wheel[bucket(at_ms)] = items;
        }
    }

    /// Throws out what the test does not keep.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let buckets = self.wheel.iter_mut().chain(self.far.values_mut()).chain([&mut self.current]);
        self.waiting = 0;
        for bucket in buckets {
            bucket.retain(&mut keep);
            self.waiting += bucket.len();
        }
        self.far.retain(|_, items| !items.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn items_come_by_time_and_then_in_the_order_they_were_put_in() {
        let mut rng = Rng::new(5);
        let mut queue = Queue::default();
        let mut expected = BTreeMap::new();
        let (mut now, mut met) = (0, Vec::new());
        for sequence in 0..20_000u64 {
            let at = now + if rng.chance(20) { rng.below(30_000) } else { rng.below(40) };
            queue.push(at, sequence);
            expected.insert((at, sequence), ());
            if rng.chance(400)
                && let Some((time, item)) = queue.pop(u64::MAX)
            {
                assert!(time >= now);
                now = time;
                met.push((time, item));
            }
        }
        while let Some(next) = queue.pop(u64::MAX) {
            met.push(next);
        }
        let sorted: Vec<_> = expected.into_keys().collect();
        assert_eq!(met, sorted);
    }

    #[test]
    fn nothing_comes_before_its_time_and_what_is_thrown_out_never_does() {
        let mut queue = Queue::default();
        queue.push(10, 'a');
        queue.push(10, 'b');
        queue.push(9_000, 'c');
        assert_eq!(queue.pop(9), None);
        queue.retain(|item| *item != 'b');
        assert_eq!(queue.pop(20), Some((10, 'a')));
        assert_eq!(queue.pop(8_999), None);
        assert_eq!(queue.pop(9_000), Some((9_000, 'c')));
        assert_eq!(queue.pop(u64::MAX), None);
    }
}

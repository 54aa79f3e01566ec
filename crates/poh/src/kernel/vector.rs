//! One chain in each 32-bit lane of a vector, for any vector type.
//!
//! Written once over [`Vector`], so that what AVX2, AVX-512 and the array of the tests run is one text, and a
//! vector type has nothing of its own but ten operations. Everything is inlined into the
//! function that enables the vector's instructions.
#![allow(unsafe_code)] // Operations of a vector type are callable only where its instructions exist.

use super::Words;
use super::constants::{END, IV, LINK_BITS};
use super::rounds::{K, RECORD_PADDING_ROUNDS, small_sigma0 as word_sigma0, small_sigma1 as word_sigma1};

/// A vector of 32-bit lanes.
///
/// # Safety
/// Each method may be called only on a machine that has the instructions of the type.
pub(super) trait Vector: Copy {
    /// Lanes.
    const LANES: usize;
    /// The same word in each lane.
    unsafe fn splat(word: u32) -> Self;
    /// One word of each state, `states` being [`Vector::LANES`] long.
    unsafe fn gather(states: &[Words], word: usize) -> Self;
    /// Writes back what [`Vector::gather`] reads.
    unsafe fn scatter(self, states: &mut [Words], word: usize);
    /// Sum modulo 2³².
    unsafe fn add(self, other: Self) -> Self;
    /// Rotates right.
    unsafe fn rotate<const BITS: i32>(self) -> Self;
    /// Shifts right.
    unsafe fn shift<const BITS: u32>(self) -> Self;
    /// Exclusive or of three.
    unsafe fn xor3(self, b: Self, c: Self) -> Self;
    /// Bits of `b` where `self` has ones, of `c` where it has zeros.
    unsafe fn choose(self, b: Self, c: Self) -> Self;
    /// Bits that two of three have.
    unsafe fn majority(self, b: Self, c: Self) -> Self;
}

/// Two vectors whose instructions alternate, so that each one's latency is filled by the other.
#[derive(Clone, Copy)]
pub(super) struct Pair<V>(V, V);

// SAFETY (each block): the caller's promise about `Pair<V>` is the same promise about `V`.
impl<V: Vector> Vector for Pair<V> {
    const LANES: usize = 2 * V::LANES;

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        unsafe { Self(V::splat(word), V::splat(word)) }
    }
    #[inline(always)]
    unsafe fn gather(states: &[Words], word: usize) -> Self {
        let (left, right) = states.split_at(V::LANES);
        unsafe { Self(V::gather(left, word), V::gather(right, word)) }
    }
    #[inline(always)]
    unsafe fn scatter(self, states: &mut [Words], word: usize) {
        let (left, right) = states.split_at_mut(V::LANES);
        unsafe {
            self.0.scatter(left, word);
            self.1.scatter(right, word);
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        unsafe { Self(self.0.add(other.0), self.1.add(other.1)) }
    }
    #[inline(always)]
    unsafe fn rotate<const BITS: i32>(self) -> Self {
        unsafe { Self(self.0.rotate::<BITS>(), self.1.rotate::<BITS>()) }
    }
    #[inline(always)]
    unsafe fn shift<const BITS: u32>(self) -> Self {
        unsafe { Self(self.0.shift::<BITS>(), self.1.shift::<BITS>()) }
    }
    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        unsafe { Self(self.0.xor3(b.0, c.0), self.1.xor3(b.1, c.1)) }
    }
    #[inline(always)]
    unsafe fn choose(self, b: Self, c: Self) -> Self {
        unsafe { Self(self.0.choose(b.0, c.0), self.1.choose(b.1, c.1)) }
    }
    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        unsafe { Self(self.0.majority(b.0, c.0), self.1.majority(b.1, c.1)) }
    }
}

/// One round; `$kw` is round constant plus schedule word. The letters are renamed from round to round, not moved.
macro_rules! round {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $kw:expr) => {
        let e_part = $e.rotate::<6>().xor3($e.rotate::<11>(), $e.rotate::<25>());
        let first = $h.add($kw).add($e.choose($f, $g)).add(e_part);
        let a_part = $a.rotate::<2>().xor3($a.rotate::<13>(), $a.rotate::<22>());
        $d = $d.add(first);
        $h = first.add($a.majority($b, $c)).add(a_part);
    };
}

/// Sixteen rounds; `$kw` is given for each number `$i`, a constant.
macro_rules! sixteen_rounds {
    ($state:ident, $i:ident => $kw:expr) => {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = $state;
        sixteen_rounds!(@eight a b c d e f g h, $i 0 1 2 3 4 5 6 7 => $kw);
        sixteen_rounds!(@eight a b c d e f g h, $i 8 9 10 11 12 13 14 15 => $kw);
        $state = [a, b, c, d, e, f, g, h];
    };
    (@eight $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident,
     $i:ident $i0:literal $i1:literal $i2:literal $i3:literal $i4:literal $i5:literal $i6:literal $i7:literal
     => $kw:expr) => {
        round!($a $b $c $d $e $f $g $h, { const $i: usize = $i0; $kw });
        round!($h $a $b $c $d $e $f $g, { const $i: usize = $i1; $kw });
        round!($g $h $a $b $c $d $e $f, { const $i: usize = $i2; $kw });
        round!($f $g $h $a $b $c $d $e, { const $i: usize = $i3; $kw });
        round!($e $f $g $h $a $b $c $d, { const $i: usize = $i4; $kw });
        round!($d $e $f $g $h $a $b $c, { const $i: usize = $i5; $kw });
        round!($c $d $e $f $g $h $a $b, { const $i: usize = $i6; $kw });
        round!($b $c $d $e $f $g $h $a, { const $i: usize = $i7; $kw });
    };
}

/// Takes [`Vector::LANES`] chains `steps` plain steps on.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn advance<V: Vector>(states: &mut [Words], steps: u64) {
    assert_eq!(states.len(), V::LANES, "as many chains as the kernel is wide");
    // SAFETY: passed on from the caller.
    unsafe {
        let mut hash = gather::<V>(states);
        for _ in 0..steps {
            hash = link(hash);
        }
        for (word, vector) in hash.into_iter().enumerate() {
            vector.scatter(states, word);
        }
    }
}

/// Takes [`Vector::LANES`] chains one recording step on.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn mix<V: Vector>(states: &mut [Words], mixins: &[Words]) {
    assert_eq!((states.len(), mixins.len()), (V::LANES, V::LANES), "as many chains as the kernel is wide");
    // SAFETY: passed on from the caller.
    unsafe {
        let mut w = [V::splat(0); 16];
        w[..8].copy_from_slice(&gather::<V>(states));
        w[8..].copy_from_slice(&gather::<V>(mixins));
        let start = initial::<V>();
        let mut state = start;
        sixteen_rounds!(state, I => w[I].add(V::splat(K[I])));
        for sixteen in 1..4 {
            sixteen_rounds!(state, I => scheduled::<V, I>(&mut w).add(V::splat(K[16 * sixteen + I])));
        }
        let middle = sum(state, start);
        state = middle;
        for sixteen in 0..4 {
            sixteen_rounds!(state, I => V::splat(RECORD_PADDING_ROUNDS[16 * sixteen + I]));
        }
        for (word, vector) in sum(state, middle).into_iter().enumerate() {
            vector.scatter(states, word);
        }
    }
}

/// One plain step: words 8 to 15 of the message are its padding.
#[inline(always)]
unsafe fn link<V: Vector>(hash: [V; 8]) -> [V; 8] {
    // SAFETY: passed on from the caller.
    unsafe {
        let start = initial::<V>();
        let mut state = start;
        sixteen_rounds!(state, I => match I {
            0..8 => hash[I % 8].add(V::splat(K[I])),
            8 => V::splat(K[I].wrapping_add(END)),
            15 => V::splat(K[I].wrapping_add(LINK_BITS)),
            _ => V::splat(K[I]),
        });
        let mut w = link_schedule(&hash);
        sixteen_rounds!(state, I => w[I].add(V::splat(K[16 + I])));
        for sixteen in 2..4 {
            sixteen_rounds!(state, I => scheduled::<V, I>(&mut w).add(V::splat(K[16 * sixteen + I])));
        }
        sum(state, start)
    }
}

/// Words 16 to 31 of a link's schedule, without what the padding makes zero or constant.
#[inline(always)]
unsafe fn link_schedule<V: Vector>(hash: &[V; 8]) -> [V; 16] {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut w = [V::splat(0); 16];
        w[0] = hash[0].add(small_sigma0(hash[1]));
        w[1] = hash[1].add(small_sigma0(hash[2])).add(V::splat(word_sigma1(LINK_BITS)));
        w[2] = hash[2].add(small_sigma0(hash[3])).add(small_sigma1(w[0]));
        w[3] = hash[3].add(small_sigma0(hash[4])).add(small_sigma1(w[1]));
        w[4] = hash[4].add(small_sigma0(hash[5])).add(small_sigma1(w[2]));
        w[5] = hash[5].add(small_sigma0(hash[6])).add(small_sigma1(w[3]));
        w[6] = hash[6].add(small_sigma0(hash[7])).add(small_sigma1(w[4])).add(V::splat(LINK_BITS));
        w[7] = hash[7].add(V::splat(word_sigma0(END))).add(small_sigma1(w[5])).add(w[0]);
        w[8] = V::splat(END).add(small_sigma1(w[6])).add(w[1]);
        w[9] = small_sigma1(w[7]).add(w[2]);
        w[10] = small_sigma1(w[8]).add(w[3]);
        w[11] = small_sigma1(w[9]).add(w[4]);
        w[12] = small_sigma1(w[10]).add(w[5]);
        w[13] = small_sigma1(w[11]).add(w[6]);
        w[14] = V::splat(word_sigma0(LINK_BITS)).add(small_sigma1(w[12])).add(w[7]);
        w[15] = V::splat(LINK_BITS).add(small_sigma0(w[0])).add(small_sigma1(w[13])).add(w[8]);
        w
    }
}

/// Replaces the schedule word 16 before by the present one, and gives it.
#[inline(always)]
unsafe fn scheduled<V: Vector, const I: usize>(w: &mut [V; 16]) -> V {
    // SAFETY: passed on from the caller.
    unsafe {
        let near = small_sigma1(w[(I + 14) % 16]).add(w[(I + 9) % 16]);
        w[I] = w[I].add(small_sigma0(w[(I + 1) % 16])).add(near);
        w[I]
    }
}

#[inline(always)]
unsafe fn small_sigma0<V: Vector>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { x.rotate::<7>().xor3(x.rotate::<18>(), x.shift::<3>()) }
}

#[inline(always)]
unsafe fn small_sigma1<V: Vector>(x: V) -> V {
    // SAFETY: passed on from the caller.
    unsafe { x.rotate::<17>().xor3(x.rotate::<19>(), x.shift::<10>()) }
}

#[inline(always)]
unsafe fn initial<V: Vector>() -> [V; 8] {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut state = [V::splat(0); 8];
        for (vector, word) in state.iter_mut().zip(IV) {
            *vector = V::splat(word);
        }
        state
    }
}

#[inline(always)]
unsafe fn sum<V: Vector>(mut left: [V; 8], right: [V; 8]) -> [V; 8] {
    for (vector, other) in left.iter_mut().zip(right) {
        // SAFETY: passed on from the caller.
        *vector = unsafe { vector.add(other) };
    }
    left
}

// Loops, not closures: a closure is a function of its own, without the instructions of the vector.
#[inline(always)]
unsafe fn gather<V: Vector>(states: &[Words]) -> [V; 8] {
    // SAFETY: passed on from the caller.
    unsafe {
        let mut state = [V::splat(0); 8];
        for (word, vector) in state.iter_mut().enumerate() {
            *vector = V::gather(states, word);
        }
        state
    }
}

//! Σ kᵢ·Pᵢ for many points at once, by buckets.
//!
//! A scalar is written in signed digits of `width` bits. In each digit's place, points go into the bucket of
//! their digit; Σ digit·bucket then takes two additions a bucket, however many points are in it.

use k256::{AffinePoint, ProjectivePoint, Scalar};

/// Widest digit that is tried: past it buckets alone cost more than any batch here saves.
const WIDTH_MAX: usize = 13;

/// Whether Σ short·P + Σ long·P is the group's neutral element.
pub(super) fn is_zero(short: &[(AffinePoint, u64)], long: &[(AffinePoint, Scalar)]) -> bool {
    let width = best_width(short.len(), long.len());
    let mut digits = Digits::new(width);
    for (point, scalar) in short {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&scalar.to_le_bytes());
        digits.push(point, &bytes, 64);
    }
    for (point, scalar) in long {
        let mut bytes: [u8; 32] = scalar.to_bytes().into();
        bytes.reverse();
        digits.push(point, &bytes, 256);
    }
    digits.sum() == ProjectivePoint::IDENTITY
}

/// Digits of a scalar of `bits` bits; the last takes the carry of those below it.
const fn places(bits: usize, width: usize) -> usize {
    bits / width + 1
}

/// The width with the fewest additions.
fn best_width(short: usize, long: usize) -> usize {
    let additions = |width: &usize| {
        let (low, all) = (places(64, *width), places(256, *width));
        low * short + all * long + all * (2 << (width - 1))
    };
    (2..=WIDTH_MAX).min_by_key(additions).unwrap_or(2)
}

/// Points, and by place the nonzero digits, each with the index of its point.
struct Digits {
    width: usize,
    points: Vec<AffinePoint>,
    places: Vec<Vec<(i16, usize)>>,
}

impl Digits {
    fn new(width: usize) -> Self {
        Self { width, points: Vec::new(), places: vec![Vec::new(); places(256, width)] }
    }

    /// Adds a point with its scalar, in little-endian bytes.
    fn push(&mut self, point: &AffinePoint, scalar: &[u8; 32], bits: usize) {
        let (base, half) = (1i32 << self.width, 1i32 << (self.width - 1));
        let mut carry = 0;
        for place in 0..places(bits, self.width) {
            let digit = raw_digit(scalar, place * self.width, self.width) + carry;
            carry = i32::from(digit > half);
            let digit = digit - carry * base;
            if digit != 0 {
                let digit = i16::try_from(digit).expect("a digit has at most WIDTH_MAX bits");
                self.places[place].push((digit, self.points.len()));
            }
        }
        self.points.push(*point);
    }

    fn sum(&self) -> ProjectivePoint {
        let mut sum = ProjectivePoint::IDENTITY;
        let mut buckets = vec![None; 1 << (self.width - 1)];
        for place in self.places.iter().rev() {
            for _ in 0..self.width {
                sum = sum.double();
            }
            for (digit, index) in place {
                let point = self.points[*index];
                let point = if *digit < 0 { -point } else { point };
                add(&mut buckets[usize::from(digit.unsigned_abs()) - 1], &point);
            }
            sum += drain(&mut buckets);
        }
        sum
    }
}

/// `width` bits from bit `start` on.
fn raw_digit(scalar: &[u8; 32], start: usize, width: usize) -> i32 {
    let bytes = (0..3).map(|offset| scalar.get(start / 8 + offset).copied().unwrap_or(0));
    let window = bytes.rev().fold(0i32, |window, byte| window << 8 | i32::from(byte));
    window >> (start % 8) & ((1 << width) - 1)
}

fn add(bucket: &mut Option<ProjectivePoint>, point: &AffinePoint) {
    match bucket {
        Some(sum) => *sum += point,
        None => *bucket = Some((*point).into()),
    }
}

/// Empties the buckets into Σ (index + 1)·bucket.
fn drain(buckets: &mut [Option<ProjectivePoint>]) -> ProjectivePoint {
    let mut above = None;
    let mut sum = ProjectivePoint::IDENTITY;
    for bucket in buckets.iter_mut().rev() {
        above = match (above, bucket.take()) {
            (Some(above), Some(bucket)) => Some(above + bucket),
            (above, bucket) => above.or(bucket),
        };
        if let Some(above) = &above {
            sum += above;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A scalar that is no pattern of the seed.
    fn scalar(seed: u64) -> Scalar {
        let mut scalar = Scalar::from(seed) + Scalar::from(0x9e37_79b9_7f4a_7c15_u64);
        for _ in 0..5 {
            scalar = scalar.square() + Scalar::ONE;
        }
        scalar
    }

    fn point(seed: u64) -> ProjectivePoint {
        ProjectivePoint::GENERATOR * scalar(seed)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn sums_are_those_of_one_multiplication_a_term(
            short in prop::collection::vec((any::<u64>(), any::<u64>()), 0..40),
            long in prop::collection::vec(any::<(u64, u64)>(), 0..20),
            width in 2..=WIDTH_MAX,
        ) {
            let mut expected = ProjectivePoint::IDENTITY;
            let mut digits = Digits::new(width);
            for (seed, factor) in short {
                expected += point(seed) * Scalar::from(factor);
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&factor.to_le_bytes());
                digits.push(&point(seed).to_affine(), &bytes, 64);
            }
            for (seed, factor) in long {
                expected += point(seed) * scalar(factor);
                let mut bytes: [u8; 32] = scalar(factor).to_bytes().into();
                bytes.reverse();
                digits.push(&point(seed).to_affine(), &bytes, 256);
            }
            prop_assert_eq!(digits.sum(), expected);
        }
    }

    #[test]
    fn extreme_scalars_and_equal_points() {
        let p = point(1);
        let affine = p.to_affine();
        let minus_one = -Scalar::ONE;
        assert!(is_zero(&[], &[]));
        assert!(is_zero(&[(affine, 1)], &[(affine, minus_one)]));
        assert!(is_zero(&[(affine, 7), (affine, 5)], &[(affine, -Scalar::from(12u64))]));
        assert!(is_zero(&[(affine, u64::MAX)], &[(affine, -Scalar::from(u64::MAX))]));
        assert!(is_zero(&[(affine, 3), (-affine, 3)], &[]));
        assert!(!is_zero(&[(affine, 3), (-affine, 2)], &[]));
        assert!(!is_zero(&[(affine, u64::MAX)], &[]));
    }
}

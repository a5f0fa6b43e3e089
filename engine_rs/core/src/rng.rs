//! The random numbers of a run: xoshiro256**, seeded by splitmix64. Pinned by published test vectors.
//! May not live here: distributions, or any source of entropy.

use serde::{Deserialize, Serialize};

/// The finalizer of splitmix64 (Stafford's variant 13). It maps 0 to 0 and no two values to one.
const fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// splitmix64 (Vigna, public domain): it turns one number into the state of a better generator.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

/// xoshiro256** 1.0 (Blackman and Vigna, public domain).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator of one stream (a strategy's index) of a run's seed.
    ///
    /// The four words of state are the first outputs of splitmix64 started at seed ^ mix(stream), mix being its finalizer;
    /// so stream 0 is the seeding that Vigna recommends, and no two streams of one seed are alike.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mut seeder = SplitMix64 {
            state: seed ^ mix(stream),
        };
        Rng {
            state: std::array::from_fn(|_| seeder.next_u64()),
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let result = self.state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = self.state[1] << 17;
        self.state[2] ^= self.state[0];
        self.state[3] ^= self.state[1];
        self.state[1] ^= self.state[2];
        self.state[0] ^= self.state[3];
        self.state[2] ^= shifted;
        self.state[3] = self.state[3].rotate_left(45);
        result
    }

    /// An unbiased number in 0..limit (Lemire 2019: the high word of bits * limit; low words below 2^64 mod limit are
    /// drawn again). Panics if limit is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        assert!(limit > 0, "there is no number below 0");
        let mut product = self.next_u64() as u128 * limit as u128;
        if (product as u64) < limit {
            let threshold = limit.wrapping_neg() % limit;
            while (product as u64) < threshold {
                product = self.next_u64() as u128 * limit as u128;
            }
        }
        (product >> 64) as u64
    }

    /// A number in [0, 1): the upper 53 bits of a draw, divided by 2^53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws<const N: usize>(mut draw: impl FnMut() -> u64) -> [u64; N] {
        std::array::from_fn(|_| draw())
    }

    #[test]
    fn splitmix64_gives_the_published_vectors() {
        let mut seeder = SplitMix64 { state: 1234567 };
        assert_eq!(
            draws(|| seeder.next_u64()),
            [
                6457827717110365317,
                3203168211198807973,
                9817491932198370423,
                4593380528125082431,
                16408922859458223821
            ]
        );
        let mut seeder = SplitMix64 {
            state: 1477776061723855037,
        };
        assert_eq!(
            draws(|| seeder.next_u64()),
            [
                1985237415132408290,
                2979275885539914483,
                13511426838097143398,
                8488337342461049707
            ]
        );
    }

    #[test]
    fn xoshiro256_star_star_gives_the_published_vectors() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        assert_eq!(
            draws(|| rng.next_u64()),
            [
                11520,
                0,
                1509978240,
                1215971899390074240,
                1216172134540287360,
                607988272756665600,
                16172922978634559625,
                8476171486693032832,
                10595114339597558777,
                2904607092377533576
            ]
        );
    }

    #[test]
    fn stream_zero_is_the_published_seeding() {
        let mut rng = Rng::new(0, 0);
        assert_eq!(
            draws(|| rng.next_u64()),
            [
                11091344671253066420,
                13793997310169335082,
                1900383378846508768,
                7684712102626143532
            ]
        );
    }

    #[test]
    fn streams_of_one_seed_differ_and_are_pinned() {
        let first: Vec<u64> = (0..4).map(|stream| Rng::new(7, stream).next_u64()).collect();
        assert_eq!(
            first,
            [
                12923355070828475994,
                6928603961777596288,
                7172150738361029005,
                12715447262872353486
            ]
        );
    }

    #[test]
    fn below_is_pinned() {
        let mut rng = Rng::new(7, 1);
        assert_eq!(draws(|| rng.below(1000)), [375, 888, 684, 461, 526, 256, 248, 633]);
        assert!((0..1000).all(|_| rng.below(1) == 0));
    }

    #[test]
    fn below_draws_again_rather_than_prefer_small_numbers() {
        // Of 3 * 2^62 numbers a quarter of the draws must be thrown away.
        let limit = 3 << 62;
        let mut rng = Rng::new(7, 0);
        let mut raw = rng.clone();
        let mut drawn = 0;
        for _ in 0..1000 {
            let value = rng.below(limit);
            assert!(value < limit);
            loop {
                drawn += 1;
                let product = raw.next_u64() as u128 * limit as u128;
                if product as u64 >= 1 << 62 {
                    assert_eq!(value, (product >> 64) as u64);
                    break;
                }
            }
        }
        assert_eq!(rng, raw);
        assert!((1200..1500).contains(&drawn), "{drawn} draws");
    }

    #[test]
    #[should_panic(expected = "there is no number below 0")]
    fn below_zero_is_refused() {
        Rng::new(0, 0).below(0);
    }

    #[test]
    fn uniform_is_pinned_and_stays_below_one() {
        let mut rng = Rng::new(7, 2);
        assert_eq!(
            [rng.uniform(), rng.uniform(), rng.uniform()],
            [0.3888030705962271, 0.6097293113881577, 0.593937559110863]
        );
        let numbers: Vec<f64> = (0..10_000).map(|_| rng.uniform()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_eq!((u64::MAX >> 11) as f64 / (1_u64 << 53) as f64, 1.0 - f64::EPSILON / 2.0);
    }
}

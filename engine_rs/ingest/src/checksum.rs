//! CRC-32 as zlib has it, computed with the processor's own instructions where it has them: several bytes a cycle.
//! May not live here: what is checked, and any other checksum.

/// The CRC-32 of `data`, going on from that of what came before it (0: nothing).
pub fn crc32(data: &[u8], before: u32) -> u32 {
    zlib_rs::crc32::crc32(before, data)
}

#[cfg(test)]
mod tests {
    use super::crc32;

    /// Bit by bit, as the definition has it.
    fn slow(data: &[u8], before: u32) -> u32 {
        let mut crc = !before;
        for byte in data {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            }
        }
        !crc
    }

    #[test]
    fn every_length_and_every_cut_gives_what_the_definition_gives() {
        let data: Vec<u8> = (0..1_500u32).map(|number| (number * 197 + number / 7) as u8).collect();
        for length in (0..300).chain([512, 1_000, 1_023, 1_499, 1_500]) {
            assert_eq!(crc32(&data[..length], 0), slow(&data[..length], 0), "{length} bytes");
            let cut = length / 3;
            let first = crc32(&data[..cut], 0);
            assert_eq!(
                crc32(&data[cut..length], first),
                slow(&data[..length], 0),
                "{length} bytes in two"
            );
        }
    }
}

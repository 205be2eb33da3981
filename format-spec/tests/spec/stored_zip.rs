//! The plainest zip there is: each file stored as it is, no times, no extra fields. Enough for the worked example.

/// The earliest date that a zip can state: 1 January 1980.
const DATE: u16 = 0x21;
const VERSION: u16 = 20;

/// Packs the files in this order.
pub(crate) fn pack(files: &[(String, &[u8])]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let offset = zip.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        // From the version needed to the length of the extra field, both headers are the same.
        let mut common = Vec::new();
        common.extend([VERSION, 0, 0, 0, DATE].map(u16::to_le_bytes).concat());
        common.extend([crc32(content).to_le_bytes(), size, size].concat());
        common.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        zip.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02", &VERSION.to_le_bytes()[..], &common].concat());
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend([&offset.to_le_bytes()[..], name.as_bytes()].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let (start, length) = (zip.len() as u32, directory.len() as u32);
    zip.extend(directory);
    zip.extend([b"PK\x05\x06", &[0; 4][..], &count, &count].concat());
    zip.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
    zip.extend([0; 2]);
    zip
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |mut crc, &byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}

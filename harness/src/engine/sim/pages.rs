//! Huge pages for what a large simulation holds. Its nodes lie all over hundreds of megabytes, so
//! that in pages of 4 kB nearly every access looks its page up as well, in a virtual machine twice.
//! A hint: where the kernel does not follow it, everything goes on as before.

/// Mappings smaller than this gain nothing.
const MAPPING_BYTES_MIN: usize = 8 << 20;

/// Has the kernel move the process' heap into huge pages, as far as it is in use.
#[cfg(target_os = "linux")]
pub fn collapse_heap() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, bytes) in heap_mappings(&maps) {
        let address = std::ptr::without_provenance_mut(start);
        // SAFETY: the content of the pages stays what it is, and so does what may be done to them;
        // an address at which nothing is mapped any more is an error that is ignored.
        unsafe {
            libc::madvise(address, bytes, libc::MADV_COLLAPSE);
        }
    }
}

/// Other kernels do what they think best.
#[cfg(not(target_os = "linux"))]
pub fn collapse_heap() {}

/// First address and length of the mappings that an allocator has, in the words of
/// `/proc/self/maps`.
#[cfg(any(target_os = "linux", test))]
fn heap_mappings(maps: &str) -> Vec<(usize, usize)> {
    let heap = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let rights = fields.next()?;
        let file = fields.nth(2)?;
        let name = fields.next().unwrap_or_default();
        let start = usize::from_str_radix(start, 16).ok()?;
        let bytes = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
        let is_heap = rights == "rw-p" && file == "0" && matches!(name, "" | "[heap]");
        (is_heap && bytes >= MAPPING_BYTES_MIN).then_some((start, bytes))
    };
    maps.lines().filter_map(heap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_anonymous_memory_is_the_heap() {
        let maps = "\
00400000-02400000 r-xp 00000000 00:1f 5821                       /usr/bin/peerlab
02400000-04400000 rw-p 02000000 00:1f 5821                       /usr/bin/peerlab
10000000-18000000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0003000000 rw-p 00000000 00:00 0 
7f0003000000-7f0004000000 ---p 00000000 00:00 0 
7f0005000000-7f0005021000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd04000000 rw-p 00000000 00:00 0                  [stack]
";
        let expected = [(0x1000_0000, 0x800_0000), (0x7f00_0000_0000, 0x300_0000)];
        assert_eq!(heap_mappings(maps), expected);
        assert_eq!(heap_mappings("nonsense"), []);
    }

    #[test]
    fn memory_keeps_its_content() {
        let before: Vec<u32> = (0..4 << 20).collect();
        collapse_heap();
        assert!(before.iter().zip(0..).all(|(found, n)| *found == n));
    }
}

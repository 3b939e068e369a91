//! How hard-pressed the host is.

/// Where Linux tells pressure stall information (kernel documentation, `accounting/psi`).
const CPU_PRESSURE: &str = "/proc/pressure/cpu";

/// Share of the last ten seconds in which some task waited for a CPU, percent. `None` where the
/// kernel does not tell.
pub fn cpu_pressure() -> Option<f64> {
    some_avg10(&std::fs::read_to_string(CPU_PRESSURE).ok()?)
}

fn some_avg10(text: &str) -> Option<f64> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let avg10 = some
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("avg10="))?;
    avg10.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_read_from_the_kernels_text() {
        let text = "some avg10=12.34 avg60=1.00 avg300=0.50 total=123\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_avg10(text), Some(12.34));
        assert_eq!(some_avg10("nothing\n"), None);
    }
}

//! Numbers for people: bytes, rates, times.

use std::time::Duration;

use crate::words::count;

/// A number of bytes: `1.5 GB` (decimal, as disks and clouds are sold).
#[must_use]
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            let digits = usize::from(unit != "B" && value < 99.95);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.2} TB")
}

/// What is done in a second: `7,079 sites/s`, `0.4 sites/s`, `812 MB/s`.
#[must_use]
pub fn rate(per_s: f64, unit: &str) -> String {
    if unit == BYTES {
        return format!("{}/s", bytes(per_s.max(0.0) as u64));
    }
    if per_s < 9.95 { format!("{per_s:.1} {unit}/s") } else { format!("{} {unit}/s", count(per_s.round() as u64)) }
}

/// The unit of [`rate`] and of progress that is shown as kB, MB and so on.
pub(crate) const BYTES: &str = "bytes";

/// A time, as exactly as anybody plans by: `18 s`, `12 min`, `3 h 05 min`, `2 d 4 h`.
#[must_use]
pub(crate) fn time(time: Duration) -> String {
    let s = time.as_secs_f64().round() as u64;
    let (minutes, hours) = ((s + 30) / 60, (s + 1800) / 3600);
    match s {
        0..100 => format!("{s} s"),
        _ if minutes < 100 => format!("{minutes} min"),
        _ if hours < 48 => format!("{} h {:02} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_572_864), "1.6 MB");
        assert_eq!(bytes(197_000_000_000), "197 GB");
    }

    #[test]
    fn rates_and_times_have_the_digits_that_mean_something() {
        for (per_s, unit, expected) in [
            (7078.6029, "sites", "7,079 sites/s"),
            (9.96, "sites", "10 sites/s"),
            (0.4321, "sites", "0.4 sites/s"),
            (812_345_678.9, BYTES, "812 MB/s"),
            (0.0, BYTES, "0 B/s"),
        ] {
            assert_eq!(rate(per_s, unit), expected);
        }
        for (s, expected) in [
            (0.4, "0 s"),
            (99.4, "99 s"),
            (100.0, "2 min"),
            (5999.0, "1 h 40 min"),
            (11_100.0, "3 h 05 min"),
            (187_000.0, "2 d 4 h"),
        ] {
            assert_eq!(time(Duration::from_secs_f64(s)), expected);
        }
    }
}

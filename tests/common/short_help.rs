//! What `-h` of every program is: one screen.

use std::process::Command;

/// Holds the short help of a program against a screen of 24 lines and 80 columns, on which no flag takes two lines, and
/// the long one against what it leaves out.
pub fn check_help(program: &Command, headings: &[&str]) {
    let help = |flag| {
        let output = Command::new(program.get_program()).env("COLUMNS", "80").arg(flag).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let (short, long) = (help("-h"), help("--help"));
    assert!(short.lines().count() <= 24, "{short}");
    for line in short.lines() {
        assert!(line.chars().count() <= 80 && !line.starts_with("          "), "{line:?} in\n{short}");
    }
    assert!(short.contains("(see more with '--help')"), "{short}");
    for heading in headings {
        assert!(long.contains(&format!("\n{heading}:\n")), "{heading} not in\n{long}");
    }
    for flag in short.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
        assert!(long.contains(flag.trim_end_matches([',', ')', '\''])), "{flag} not in\n{long}");
    }
    assert!(long.contains("Exit codes:") && long.lines().count() > short.lines().count());
}

//! How much memory there is to measure with.

use std::path::{Path, PathBuf};

use crate::files;

/// Bytes of memory that are free or can be made so, in this machine and in the groups of processes that this one is
/// limited with (a container or a job of a cluster); a plenty where the system does not say.
pub(super) fn free() -> u64 {
    let text = files::read_text(Path::new("/proc/meminfo")).unwrap_or_default();
    let kib =
        text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok());
    let of_machine = kib.map_or(16 << 30, |kib: u64| kib << 10);
    let groups = files::read_text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    free_in_groups(Path::new("/sys/fs/cgroup"), &groups).map_or(of_machine, |free| free.min(of_machine))
}

/// The least that a group has left, of those that `groups`, the content of `/proc/self/cgroup`, names, and of all that
/// they lie in; none where none has a limit.
fn free_in_groups(root: &Path, groups: &str) -> Option<u64> {
    let left = groups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let (root, version) = match controllers {
            "" => (root.to_owned(), &V2),
            _ if controllers.split(',').any(|name| name == "memory") => (root.join("memory"), &V1),
            _ => return None,
        };
        // The group itself, and what it lies in up to the root: in a container the names may be those of the outside.
        let folders = Path::new(group.trim_start_matches('/')).ancestors().map(|group| root.join(group));
        folders.filter_map(|folder| version.left(&folder)).min()
    });
    left.min()
}

/// What a version of control groups calls its files and figures.
struct Version {
    limit: &'static str,
    used: &'static str,
    /// Of the memory used, files that the system keeps in it for as long as nobody needs it.
    files: [&'static str; 2],
}

const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    files: ["total_active_file", "total_inactive_file"],
};
const V2: Version = Version { limit: "memory.max", used: "memory.current", files: ["active_file", "inactive_file"] };

impl Version {
    fn left(&self, folder: &Path) -> Option<u64> {
        let number = |path: PathBuf| files::read_text(&path).ok()?.trim().parse::<u64>().ok();
        let statistics = files::read_text(&folder.join("memory.stat")).unwrap_or_default();
        let kept = statistics.lines().filter_map(|line| {
            let (name, bytes) = line.split_once(' ')?;
            self.files.contains(&name).then(|| bytes.parse::<u64>().ok())?
        });
        let used = number(folder.join(self.used))?.saturating_sub(kept.sum());
        Some(number(folder.join(self.limit))?.saturating_sub(used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn group(folder: &Path, version: &Version, limit: &str, used: u64, files: [u64; 2]) {
        fs::create_dir_all(folder).unwrap();
        let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
        write(version.limit, format!("{limit}\n"));
        write(version.used, format!("{used}\n"));
        let [active, inactive] = version.files;
        write("memory.stat", format!("anon 5\n{active} {}\n{inactive} {}\nfile 77\n", files[0], files[1]));
    }

    #[test]
    fn the_tightest_group_counts_and_files_in_memory_are_as_good_as_free() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(free_in_groups(root, "0::/\n"), None, "no groups");
        group(root, &V2, "max", 500, [0, 0]);
        assert_eq!(free_in_groups(root, "0::/\n"), None, "no limit");
        group(root, &V2, "1000", 900, [300, 500]);
        assert_eq!(free_in_groups(root, "0::/\n"), Some(900));
        group(&root.join("jobs/7"), &V2, "400", 350, [50, 100]);
        assert_eq!(free_in_groups(root, "0::/jobs/7\n"), Some(200));
        assert_eq!(free_in_groups(root, "0::/not/seen/from/here\n"), Some(900));
        group(&root.join("memory/jobs"), &V1, "100", 90, [20, 0]);
        assert_eq!(free_in_groups(root, "5:cpu,cpuacct:/\n4:memory:/jobs\n0::/\n"), Some(30));
        assert_eq!(free_in_groups(root, "5:cpu,cpuacct:/jobs\n"), None);
    }
}

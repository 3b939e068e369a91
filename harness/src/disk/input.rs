//! Experiment files and plans, read from disk.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use peerlab_core::error::{Error, Explain, Result};
use peerlab_core::experiment::Image;
use peerlab_core::plan::Plan;
use peerlab_core::report::files;
use peerlab_core::topology::{self, Topology};
use peerlab_link::proto::NODE_FILES_BYTES_MAX;

/// Longest plan file, bytes: ten thousand nodes with churn take some tens of millions.
const PLAN_BYTES_MAX: u64 = 1 << 30;

/// Reads an experiment file, once: its text is given as well, and a pipe has it no second time.
///
/// # Errors
/// [`peerlab_core::error::Kind::Input`]: the file cannot be read, or has mistakes; each of these
/// with its place.
pub fn load_topology(path: &Path) -> Result<(Topology, String)> {
    let text = read(path, topology::FILE_BYTES_MAX as u64, "an experiment")
        .map_err(|error| error.hint("the experiments that ship are in topologies/"))?;
    let mut topology = topology::parse(path, &text)?;
    fill_in(&mut topology)?;
    Ok((topology, text))
}

/// Reads the files that nodes of an experiment get a copy of.
///
/// # Errors
/// As bad input, at the place of one that cannot be read.
pub fn fill_in(topology: &mut Topology) -> Result<()> {
    topology.fill_in(|path| {
        let max = NODE_FILES_BYTES_MAX as u64;
        let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
        let mut bytes = Vec::new();
        let read = file.take(max + 1).read_to_end(&mut bytes);
        read.map_err(|e| e.to_string())?;
        if bytes.len() as u64 > max {
            return Err(format!("it is larger than {} MiB", max >> 20));
        }
        Ok(bytes)
    })
}

/// Reads and checks a plan.
///
/// # Errors
/// [`peerlab_core::error::Kind::Input`]: the file cannot be read, is no plan of this version, or
/// contradicts itself.
pub fn load_plan(path: &Path) -> Result<Plan> {
    let text = read(path, PLAN_BYTES_MAX, "a plan")?;
    Plan::parse(&path.display().to_string(), &text)
}

/// Reads and checks a plan that is to be carried out. An archive of an image in the folder `images`
/// beside it takes the place of the one of that name that the plan wants, which may be on another
/// machine.
///
/// # Errors
/// As [`load_plan`].
pub fn load_plan_to_run(path: &Path) -> Result<Plan> {
    let mut plan = load_plan(path)?;
    if plan.stays() {
        let dir = path.parent().unwrap_or(Path::new("")).display();
        return Err(Error::input(format!("{} never ends", path.display()))
            .because("it is the plan of a network that stayed until it was taken down")
            .hint(format!(
                "write what was done to it as an experiment: `peerlab record {dir}`"
            )));
    }
    let folder = path.parent().unwrap_or(Path::new("")).join(files::IMAGES);
    let mut by_name: BTreeMap<OsString, Vec<&mut PathBuf>> = BTreeMap::new();
    for group in &mut plan.groups {
        if let Image::Archive(archive) = &mut group.image
            && let Some(name) = archive.file_name().map(OsStr::to_owned)
        {
            by_name.entry(name).or_default().push(archive);
        }
    }
    for (name, same) in by_name {
        let place = folder.join(name);
        // Of two with one name, none would be known.
        if same.iter().all(|archive| *archive == same[0]) && place.exists() {
            let place = std::path::absolute(&place).unwrap_or(place);
            same.into_iter()
                .for_each(|archive| archive.clone_from(&place));
        }
    }
    Ok(plan)
}

/// A text file of a bounded length, whatever its kind (a pipe has none to ask for).
pub(super) fn read(path: &Path, bytes_max: u64, what: &str) -> Result<String> {
    let name = path.display();
    let file = std::fs::File::open(path).or_input(|| format!("cannot read {name}"))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large.
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .or_input(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Error::input(format!("{name} is too large to be {what}"))
            .because(format!("more than {bytes_max} bytes are not read")));
    }
    String::from_utf8(bytes).or_input(|| format!("{name} is not a text file"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use peerlab_core::plan::compile;

    use super::*;

    /// The archives that a plan of groups with these images wants, when it is run from a record that
    /// brings some along.
    fn wanted(images: [&str; 2], brought: &[&str]) -> (Vec<PathBuf>, PathBuf) {
        let text = format!(
            "name: x\nseed: 1\nphases: {{ warmup: 4s, settle: 6s }}\nnodes:\n  a: {{ count: 1, \
             hashpower: 1, image: '{}' }}\n  b: {{ count: 1, image: '{}' }}\nledger: \
             {{ block_interval: 1s }}\nexpect:\n  - nodes_up: {{ min: 10% }}\n",
            images[0], images[1]
        );
        let topology = topology::parse("/elsewhere/x.yaml", &text).unwrap();
        let record = tempfile::tempdir().unwrap();
        let file = record.path().join(files::PLAN);
        fs::write(&file, compile(&topology, 1).unwrap().to_json()).unwrap();
        let folder = record.path().join(files::IMAGES);
        fs::create_dir(&folder).unwrap();
        for name in brought {
            fs::write(folder.join(name), "").unwrap();
        }
        let plan = load_plan_to_run(&file).unwrap();
        let archive = |image: &Image| match image {
            Image::Archive(path) => path.clone(),
            other => panic!("{other:?}"),
        };
        let archives = plan.groups.iter().map(|group| archive(&group.image));
        (archives.collect(), folder)
    }

    #[test]
    fn a_network_that_stayed_is_not_run_again_for_ever() {
        let text =
            "name: x\nseed: 1\nphases: { warmup: 4s, settle: 6s }\nnodes: { a: { count: 1 } }\n";
        let topology = topology::parse("x.yaml", text).unwrap();
        let record = tempfile::tempdir().unwrap();
        let file = record.path().join(files::PLAN);
        let plan = peerlab_core::plan::stay(&topology, 1).unwrap().plan;
        fs::write(&file, plan.to_json()).unwrap();
        let told = load_plan_to_run(&file).unwrap_err().render();
        assert!(told.contains("peerlab record "), "{told}");
        load_plan(&file).unwrap();
    }

    #[test]
    fn archives_that_a_record_brings_along_are_taken() {
        let (archives, folder) = wanted(["oci:of/one.tar", "oci:two.tar"], &["one.tar"]);
        assert_eq!(archives[0], folder.join("one.tar"));
        assert_eq!(archives[1], Path::new("/elsewhere/two.tar"));
        // The same for all groups that want it.
        let (archives, folder) = wanted(["oci:one.tar", "oci:one.tar"], &["one.tar"]);
        assert_eq!(archives, [folder.join("one.tar"), folder.join("one.tar")]);
    }

    #[test]
    fn archives_of_one_name_are_not_taken_for_each_other() {
        let (archives, _) = wanted(["oci:a/x.tar", "oci:b/x.tar"], &["x.tar"]);
        assert_eq!(archives[0], Path::new("/elsewhere/a/x.tar"));
        assert_eq!(archives[1], Path::new("/elsewhere/b/x.tar"));
    }
}

//! Programs that are started as an experiment says: the same story on every engine of real nodes.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::path::Path;
use std::process::{Command, Output};

use crate::foreign_image::save_image;

/// What it says of its image, which it is to be told otherwise in all.
const RUN_CONFIG: &str =
    r#"{"Entrypoint":["/bin/missing"],"Cmd":["tell"],"Env":["GROUP=of-the-image"],"User":"65532"}"#;

/// Three nodes that agree on what they were given, also where one is replaced.
const EXPERIMENT: &str = r#"
name: launched
seed: 3
phases: { warmup: 4s, faults: 6s, settle: 8s }
nodes:
  witnesses:
    count: 3
    image: "oci:witness.tar"
    entrypoint: [/bin/ledger, "{{ 'run' }}"]
    env: { NAME: "{{ name }}", ADDRESS: "{{ ip }}", GROUP: "{{ group }}" }
    workdir: /etc/witness
    user: 1000:1000
    files:
      /etc/witness/peers: |
        {% for node in groups.witnesses %}
        {{ node.name }}={{ node.ip }}
        {% endfor %}
      /data/gift: { text: "{{ seed }}", mode: "0600" }
      /etc/witness/copy: { from: copied.txt, owner: "0:0" }
    probe: exec(/bin/ledger tell)
faults:
  - { at: 5s, for: 2s, replace: [witnesses-1] }
expect:
  - agree: { within: 6s, of: settle, hold: 1s }
  - nodes_up: { min: 100% }
"#;
/// What each node is to say.
const SAID: &str = "witnesses witnesses-0=10.0.0.1 witnesses-1=10.0.0.2 witnesses-2=10.0.0.3 64";

fn run(folder: &Path, engine: &str, text: &str) -> Output {
    std::fs::write(folder.join("launched.yaml"), text).unwrap();
    std::fs::write(folder.join("copied.txt"), "{{ name }}").unwrap();
    let _ = std::fs::remove_dir_all(folder.join("run"));
    Command::new(env!("CARGO_BIN_EXE_peerlab"))
        .args(["run", "launched.yaml", "--engine", engine, "--out", "run"])
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .unwrap()
}

/// Programs have their words, variables, files, names, folder and user, and have them again once they are
/// replaced; where one of these is wrong, that is told.
pub fn programs_start_as_the_experiment_says(engine: &str) {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_peerlab")).with_file_name("examples/witness");
    let program = std::fs::read(program).unwrap();
    save_image(&program, &folder.path().join("witness.tar"), RUN_CONFIG);

    let output = run(folder.path(), engine, EXPERIMENT);
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    // A busy machine may leave a doubt.
    assert!(matches!(code, Some(0 | 4)), "{said}\n{errors}");
    assert_eq!(said.matches("\n  ok ").count(), 2, "{said}\n{errors}");
    let events = std::fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    assert!(events.contains(SAID), "{events}");

    // The other way round: a variable that is missing, and a gift that the program may not take.
    for (right, wrong, told) in [
        ("NAME: \"{{ name }}\", ", "", "no variable NAME"),
        ("/data/gift: {", "/elsewhere/gift: {", "there is no gift"),
    ] {
        let output = run(folder.path(), engine, &EXPERIMENT.replace(right, wrong));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains(told), "{errors}");
    }
    // Nothing starts where a file is not there.
    let missing = EXPERIMENT.replace("from: copied.txt", "from: missing.txt");
    let output = run(folder.path(), engine, &missing);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("missing.txt"), "{errors}");
    assert!(!folder.path().join("run").exists());
}

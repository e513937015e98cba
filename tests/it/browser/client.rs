//! The files of `examples/browser`: what is built is what the source says, and the README's code is correct.

use std::path::Path;
use std::process::Command;

use super::cases::FOLDER;
use crate::support::process::{Finished, Process};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/browser");

async fn tsc(arguments: &[&str]) -> Finished {
    let mut command = Command::new(Path::new(FOLDER).join("node_modules/.bin/tsc"));
    Process::start(command.args(arguments)).finish().await
}

#[tokio::test]
async fn the_built_client_is_what_its_source_says() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let into = folder.path().to_str().expect("it is UTF-8");

    let built = tsc(&["-p", EXAMPLE, "--outDir", into]).await;

    assert_eq!(built.code, Some(0), "{}", built.stdout);
    for name in ["sidegate.js", "sidegate.d.ts"] {
        let read = |folder: &Path| std::fs::read_to_string(folder.join(name)).expect("it was built");
        let (new, kept) = (read(folder.path()), read(Path::new(EXAMPLE)));
        assert!(new == kept, "{name} is older than its source: build it with tsc -p examples/browser");
    }
}

#[tokio::test]
async fn the_code_of_the_clients_readme_has_the_right_types() {
    let readme = std::fs::read_to_string(Path::new(EXAMPLE).join("README.md")).expect("it is there");
    let blocks: Vec<&str> = readme.split("```js\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::os::unix::fs::symlink(Path::new(FOLDER).join("node_modules"), folder.path().join("node_modules"))
        .expect("a link can be made");
    let copied = std::fs::copy(Path::new(EXAMPLE).join("sidegate.d.ts"), folder.path().join("sidegate.d.ts"));
    copied.expect("it can be copied");
    let mut arguments = vec!["--noEmit".to_owned(), "--allowJs".to_owned(), "--checkJs".to_owned()];
    let options = ["--strict", "--skipLibCheck", "--target", "es2022", "--module", "esnext"];
    arguments.extend(options.map(str::to_owned));
    arguments.extend(["--moduleResolution", "bundler", "--types", ""].map(str::to_owned));
    for (number, block) in blocks.iter().enumerate() {
        let path = folder.path().join(format!("block{number}.js"));
        std::fs::write(&path, block).expect("it can be written");
        arguments.push(path.to_string_lossy().into_owned());
    }

    let checked = tsc(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;

    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
}

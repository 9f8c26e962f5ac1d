//! `keyglass import`: capability specs from other descriptions of an API.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{Usage, count, print};
use crate::{
    diagnostic::{self, SourceMap, Style, render_text},
    import::{self, Imported},
    openapi::{self, Document},
    schema::MAX_FILE_BYTES,
    spec,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// From an OpenAPI 3.0 or 3.1 or Swagger 2.0 document
    Openapi(Openapi),
}

#[derive(Debug, Args)]
struct Openapi {
    /// The document, YAML or JSON
    #[arg(value_name = "FILE")]
    document: PathBuf,
    /// The spec to write; its types go to `schemas/NAME.json` beside the
    /// folder `capabilities`, else in the spec's own folder
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The namespace of the service [default: the name of the spec's file]
    #[arg(long)]
    namespace: Option<String>,
    /// The base URL of the service [default: the document's first server]
    #[arg(long, value_name = "URL")]
    base_uri: Option<String>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let From::Openapi(Openapi { document, output, namespace, base_uri, force }) = arguments.from;
    let stem = output.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let Some(stem) = stem.filter(|_| output.extension().is_some_and(|kind| kind == "yaml" || kind == "yml")) else {
        return Err(Usage(format!("`--output {}` must name a `.yaml` file", output.display())).into());
    };
    let types = types_beside(&output, &stem);
    if let Some(taken) = [&output, &types].into_iter().find(|path| !force && path.exists()) {
        return Err(Usage(format!("`{}` is there already; `--force` replaces it", taken.display())).into());
    }
    let document = read(&document)?;
    let options = import::Options { namespace: namespace.or(Some(stem)), base_uri };
    let Imported { spec, schemas, tools, notes } = import::import(&document, &options);
    write(&output, &spec)?;
    write(&types, &schemas)?;
    let mut text = format!("{}: {}\n{}: their types\n", output.display(), count(tools, "tool"), types.display());
    notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Where the types of a spec go: where they are found when it is loaded.
fn types_beside(output: &Path, stem: &str) -> PathBuf {
    let own = output.parent().unwrap_or(Path::new(""));
    let holder = match own.parent() {
        Some(parent) if own.file_name().is_some_and(|name| name == "capabilities") => parent,
        _ => own,
    };
    holder.join("schemas").join(format!("{stem}.json"))
}

fn read(path: &Path) -> anyhow::Result<Document> {
    let text = spec::read_text(path, MAX_FILE_BYTES).with_context(|| format!("`{}` cannot be read", path.display()))?;
    let mut sources = SourceMap::default();
    let file = sources.add(path.display().to_string(), text.strip_prefix('\u{feff}').unwrap_or(&text));
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match Document::read(file, folder, &mut sources) {
        Ok(Some(document)) => {
            let lost: Vec<_> = openapi::lost_references(&document).into_iter().collect();
            diagnostic::log(&lost, &sources);
            Ok(document)
        }
        Ok(None) => anyhow::bail!("`{}` is no OpenAPI document: `openapi` or `swagger` is missing", path.display()),
        Err(problem) => anyhow::bail!("{}", render_text(&[*problem], &sources, Style::Plain).trim_end()),
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("the folder `{}` cannot be made", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("`{}` cannot be written", path.display()))
}

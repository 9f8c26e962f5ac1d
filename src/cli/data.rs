//! The options of commands that open the embedded backend's data folder and nothing else.

use std::path::PathBuf;

use clap::Args;

use crate::config::{AuditFlag, ConfigError, Options, Settings};

/// Where the embedded backend's data lies.
#[derive(Args, Debug)]
pub(super) struct DataOptions {
    /// Folder of the embedded backend [default: the platform's data folder] [env: KEYGLASS_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Master key by reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`, which prints it
    /// [default: a file in the data folder] [env: KEYGLASS_MASTER_KEY]
    #[arg(long, value_name = "REFERENCE")]
    master_key: Option<String>,
    /// Configuration file (YAML), of which what concerns the embedded backend is read [env: KEYGLASS_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DataOptions {
    /// Completed from the environment and the configuration file.
    pub(super) fn settings(self) -> Result<Settings, ConfigError> {
        let Self { data_dir, master_key, config } = self;
        Options { data_dir, master_key, config, ..Options::default() }.or_environment()?.settings()
    }

    /// The same, for commands that write down what a person did.
    pub(super) fn audited(self, audit: AuditFlag) -> Result<Settings, ConfigError> {
        let mut settings = self.settings()?;
        audit.over(&mut settings)?;
        Ok(settings)
    }
}

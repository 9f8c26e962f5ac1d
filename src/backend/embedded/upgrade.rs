//! What SQL alone cannot do when a database of the first schema is brought to the second: its secrets were sealed with
//! the master key itself, and its rows have no marks.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    crypto::{CryptoError, Key, MasterKey},
    keyring::Keyring,
    keys, secrets,
    store::StoreError,
};

/// A known text that the first schema had sealed.
const PROOF: &[u8] = b"keyglass";

/// The keys of the first schema, where this database comes from it. Error: [`CryptoError::Unseal`] where the master key
/// is not its own.
pub(super) fn first_schema(connection: &Connection, master: &MasterKey) -> Result<Option<FirstSchema>, StoreError> {
    let find = "SELECT value FROM meta WHERE key = 'proof'";
    let Some(proof) = connection.query_row(find, [], |row| row.get::<_, Vec<u8>>(0)).optional()? else {
        return Ok(None);
    };
    let sealing = master.derive(b"keyglass sealing 1");
    if sealing.unseal(&proof, &["proof"])?.as_slice() != PROOF {
        return Err(CryptoError::Unseal.into());
    }
    Ok(Some(FirstSchema { sealing, digesting: master.derive(b"keyglass digests 1") }))
}

/// The keys of the first schema.
pub(super) struct FirstSchema {
    sealing: Key,
    /// The key of the digests: it stays, since they cannot be made anew.
    pub(super) digesting: Key,
}

impl FirstSchema {
    /// Seals all secrets and marks all keys with the data key. Called inside the transaction that changes the schema.
    pub(super) fn finish(&self, connection: &Connection, keyring: &Keyring) -> Result<(), StoreError> {
        keys::mark_anew(connection, keyring, u32::MAX, &mut 0, false)?;
        let find = "SELECT id, account_id, sealed FROM secrets";
        let rows = connection
            .prepare(find)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<Vec<(String, String, Vec<u8>)>, _>>()?;
        for (id, account_id, sealed) in rows {
            let value = self.sealing.unseal(&sealed, &["secret", &account_id, &id])?;
            secrets::adopt(connection, keyring, &id, &value)?;
        }
        connection.execute("DELETE FROM meta WHERE key = 'proof'", params![])?;
        Ok(())
    }
}

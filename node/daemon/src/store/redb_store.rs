//! The durable store: one redb file. A batch is one redb transaction, on disk when `commit`
//! returns. At start-up every page and every record is verified.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash};
use peerlab_node::chain::{
    Batch, BlockUndo, Damage, Loaded, Salvage, Store, StoreError, genesis_hash,
};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::record::{self, RecordError};
use super::salvage;

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;
type OpenTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

const BLOCKS: Table = TableDefinition::new("blocks");
const UNDOS: Table = TableDefinition::new("undos");
const INDEX: Table = TableDefinition::new("index");
const COINS: Table = TableDefinition::new("coins");
const STATE: Table = TableDefinition::new("state");

/// The key of the one record in the state table. Its number is the format's: another one is
/// another format.
const STATE_KEY: &[u8] = b"state 1";

/// redb's page cache, at most. Its default of a gigabyte would make every node grow to tens of
/// megabytes; what is read often is kept by the chain.
const CACHE_BYTES: usize = 1 << 20;

/// A chain in one file.
pub struct RedbStore {
    path: PathBuf,
    /// Damage where the file cannot be read at all.
    db: Result<Database, Damage>,
}

impl RedbStore {
    /// Opens the file, or makes a new one. A damaged file is no error: `load` reports it.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let mut store = RedbStore {
            path: path.to_owned(),
            db: Err(Damage::new("file", "it is empty")),
        };
        store
            .finish_seal()
            .map_err(|error| io_error("opened", error))?;
        let emptied = fs::metadata(path).is_ok_and(|file| file.len() == 0);
        if !emptied {
            store.db = open_file(path)?;
        }
        Ok(store)
    }

    /// Where the new file is built after damage.
    fn rebuilt_path(&self) -> PathBuf {
        self.path.with_added_extension("rebuilt")
    }

    /// Where a damaged file is kept for inspection; one, the latest.
    fn damaged_path(&self) -> PathBuf {
        self.path.with_added_extension("damaged")
    }

    /// A crash in the middle of `seal` has left the file under its interim name; one before it
    /// has left a file that is not complete.
    fn finish_seal(&self) -> io::Result<()> {
        let (rebuilt, damaged) = (self.rebuilt_path(), self.damaged_path());
        if !rebuilt.try_exists()? {
            return Ok(());
        }
        if !self.path.try_exists()? && damaged.try_exists()? {
            return fs::rename(&rebuilt, &self.path);
        }
        fs::remove_file(&rebuilt)
    }

    fn db(&self) -> Result<&Database, StoreError> {
        self.db
            .as_ref()
            .map_err(|damage| StoreError::Damaged(damage.to_string()))
    }

    fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, RecordError>,
    ) -> Result<Option<T>, StoreError> {
        let db = self.db()?;
        let read = || -> Result<Option<T>, redb::Error> {
            let Some(table) = open_table(db, table)? else {
                return Ok(None);
            };
            let Some(value) = table.get(key)? else {
                return Ok(None);
            };
            decode(value.value())
                .map(Some)
                .map_err(|error| redb::Error::Corrupted(error.to_string()))
        };
        read().map_err(|error| redb_error("read", error))
    }
}

impl Store for RedbStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let damage = match &self.db {
            Ok(db) => match guarded(|| load_all(db)) {
                Ok(loaded) => return Ok(loaded),
                Err(error) => damage_of(error)?,
            },
            Err(damage) => damage.clone(),
        };
        Ok(Loaded {
            damage: vec![damage],
            ..Loaded::default()
        })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        write_batch(self.db()?, batch).map_err(|error| redb_error("written", error))
    }

    fn block(&self, hash: &BlockHash) -> Result<Option<Arc<Block>>, StoreError> {
        let found = self.get(BLOCKS, hash.as_ref(), |value| {
            record::decode_block(hash, value)
        })?;
        Ok(found.map(Arc::new))
    }

    fn undo(&self, hash: &BlockHash) -> Result<Option<Arc<BlockUndo>>, StoreError> {
        let found = self.get(UNDOS, hash.as_ref(), |value| {
            record::decode_undo(hash, value)
        })?;
        Ok(found.map(Arc::new))
    }

    fn start_over(&mut self) -> Result<Salvage, StoreError> {
        self.db = Err(Damage::new("file", "it is being replaced"));
        let salvage = salvage::of_file(&self.path).map_err(|error| io_error("read", error))?;
        let rebuilt = self.rebuilt_path();
        if rebuilt.exists() {
            fs::remove_file(&rebuilt).map_err(|error| io_error("written", error))?;
        }
        self.db = open_file(&rebuilt)?;
        self.db()?;
        Ok(salvage)
    }

    fn seal(&mut self) -> Result<Option<String>, StoreError> {
        let damaged = self.damaged_path();
        let moved = || -> io::Result<()> {
            fs::rename(&self.path, &damaged)?;
            fs::rename(self.rebuilt_path(), &self.path)?;
            let folder = self
                .path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        moved().map_err(|error| io_error("written", error))?;
        Ok(Some(damaged.display().to_string()))
    }
}

/// Opens a file with redb, verifying every page. The inner error is damage, the outer one is not.
fn open_file(path: &Path) -> Result<Result<Database, Damage>, StoreError> {
    let opened = guarded(|| {
        let mut builder = Database::builder();
        builder
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true);
        builder.create(path).map_err(redb::Error::from)
    });
    match opened {
        Ok(db) => Ok(Ok(db)),
        Err(redb::Error::DatabaseAlreadyOpen) => Err(StoreError::InUse(path.display().to_string())),
        Err(error) => damage_of(error).map(Err),
    }
}

/// Reading a file of unknown content must not end the node: a panic of the library counts as
/// damage.
fn guarded<T>(read: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(redb::Error::Corrupted(
            "the structure makes no sense".to_owned(),
        ))
    })
}

/// Parts damage from failure.
fn damage_of(error: redb::Error) -> Result<Damage, StoreError> {
    let damaged = match &error {
        redb::Error::Io(cause) => {
            matches!(
                cause.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        }
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockPoisoned(_) => false,
        _ => true,
    };
    if damaged {
        Ok(Damage::new("file", error.to_string()))
    } else {
        Err(redb_error("read", error))
    }
}

fn redb_error(doing: &'static str, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(cause) => io_error(doing, cause),
        redb::Error::Corrupted(what) => StoreError::Damaged(what),
        other => io_error(doing, io::Error::other(other.to_string())),
    }
}

fn io_error(doing: &'static str, cause: io::Error) -> StoreError {
    StoreError::Io {
        doing,
        cause: Arc::new(cause),
    }
}

/// Reads and verifies every record; what is damaged is named. An error is damage, too, or a
/// failure of the device.
fn load_all(db: &Database) -> Result<Loaded, redb::Error> {
    let mut damage = Vec::new();
    let index = read_all(db, INDEX, "index", &mut damage, |key, value| {
        let hash = hash_of(key)?;
        Ok((hash, record::decode_index(&hash, value)?))
    })?;
    let coins = read_all(db, COINS, "coins", &mut damage, record::decode_coin)?;
    let mut states: Vec<_> = read_all(db, STATE, "state", &mut damage, |key, value| {
        let state = record::decode_state(key, value)?;
        Ok((key == STATE_KEY).then_some(state))
    })?;
    let bodies = read_all(db, BLOCKS, "blocks", &mut damage, |key, value| {
        let hash = hash_of(key)?;
        record::decode_block(&hash, value).map(|_| hash)
    })?;
    let undos = read_all(db, UNDOS, "undos", &mut damage, |key, value| {
        let hash = hash_of(key)?;
        record::decode_undo(&hash, value).map(|_| hash)
    })?;
    let mut loaded = Loaded {
        index,
        coins,
        state: states.pop().flatten(),
        damage,
    };
    let missing = missing(&loaded, &bodies, &undos);
    loaded.damage.extend(missing);
    Ok(loaded)
}

/// What the index promises and the other tables do not hold.
fn missing(
    loaded: &Loaded,
    bodies: &BTreeSet<BlockHash>,
    undos: &BTreeSet<BlockHash>,
) -> Vec<Damage> {
    let mut damage: Vec<Damage> = loaded
        .index
        .iter()
        .filter(|(hash, record)| record.status.has_body() && !bodies.contains(*hash))
        .map(|(hash, _)| Damage::new("blocks", format!("block {hash} is missing")))
        .collect();
    let mut next = loaded
        .state
        .as_ref()
        .map_or(genesis_hash(), |state| state.tip);
    for _ in 0..=loaded.index.len() {
        let Some(record) = loaded.index.get(&next) else {
            break;
        };
        if !undos.contains(&next) {
            damage.push(Damage::new(
                "undos",
                format!("undo data of block {next} is missing"),
            ));
        }
        next = record.header.prev_blockhash;
    }
    damage
}

fn hash_of(key: &[u8]) -> Result<BlockHash, RecordError> {
    BlockHash::from_slice(key).map_err(|_| RecordError("key is no hash"))
}

/// The sound records of a table; the others are noted as damage.
fn read_all<T, C: Default + Extend<T>>(
    db: &Database,
    table: Table,
    part: &'static str,
    damage: &mut Vec<Damage>,
    decode: impl Fn(&[u8], &[u8]) -> Result<T, RecordError>,
) -> Result<C, redb::Error> {
    let mut sound = C::default();
    let Some(table) = open_table(db, table)? else {
        return Ok(sound);
    };
    for item in table.iter()? {
        let (key, value) = item?;
        match decode(key.value(), value.value()) {
            Ok(record) => sound.extend([record]),
            Err(error) => {
                let name = hash_of(key.value()).map_or(String::new(), |hash| format!(" of {hash}"));
                damage.push(Damage::new(part, format!("record{name}: {error}")));
            }
        }
    }
    Ok(sound)
}

/// `None` if nothing was ever written to it.
fn open_table(db: &Database, table: Table) -> Result<Option<OpenTable>, redb::Error> {
    match db.begin_read()?.open_table(table) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(Some(table?)),
    }
}

fn write_batch(db: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    {
        let mut blocks = transaction.open_table(BLOCKS)?;
        for (hash, block) in &batch.blocks {
            let value = record::encode_block(hash, block);
            blocks.insert(AsRef::<[u8]>::as_ref(hash), &value[..])?;
        }
        for hash in &batch.dropped_blocks {
            blocks.remove(AsRef::<[u8]>::as_ref(hash))?;
        }
        let mut undos = transaction.open_table(UNDOS)?;
        for (hash, undo) in &batch.undos {
            let key: &[u8] = hash.as_ref();
            match undo {
                Some(undo) => undos.insert(key, &record::encode_undo(hash, undo)[..])?,
                None => undos.remove(key)?,
            };
        }
        let mut index = transaction.open_table(INDEX)?;
        for (hash, entry) in &batch.index {
            let value = record::encode_index(hash, entry);
            index.insert(AsRef::<[u8]>::as_ref(hash), &value[..])?;
        }
        let mut coins = transaction.open_table(COINS)?;
        for (outpoint, coin) in &batch.coins {
            let key = record::encode_outpoint(outpoint);
            match coin {
                Some(coin) => coins.insert(&key[..], &record::encode_coin(outpoint, coin)[..])?,
                None => coins.remove(&key[..])?,
            };
        }
        let mut state = transaction.open_table(STATE)?;
        if let Some(new) = &batch.state {
            state.insert(STATE_KEY, &record::encode_state(STATE_KEY, new)[..])?;
        }
    }
    transaction.commit()?;
    Ok(())
}

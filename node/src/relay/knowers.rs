//! Which connections know which transaction, so that nobody is told twice. One small table of a
//! node rather than one of each connection: a transaction is looked up once for all of them. What
//! was put in lately is very likely still there, and the table never grows beyond its bound.
//! Forgetting costs a repeated announcement, no more.

/// Rows at first, so that a node without transactions has next to nothing.
const ROWS_MIN: usize = 16;
/// Transactions remembered at most, 24 bytes each: a few minutes' worth of a busy network.
const ROWS_MAX: usize = 4_096;
/// Connections that have a place. Of those beyond, whatever they know is forgotten at once.
const PLACES: u8 = 128;

/// A connection's place in every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u8);

/// A bit for each place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places([u64; PLACES as usize / 64]);

impl Places {
    fn has(self, place: Place) -> bool {
        self.0[usize::from(place.0 / 64)] >> (place.0 % 64) & 1 == 1
    }

    fn set(&mut self, place: Place, value: bool) {
        let word = &mut self.0[usize::from(place.0 / 64)];
        let bit = 1 << (place.0 % 64);
        *word = if value { *word | bit } else { *word & !bit };
    }
}

/// Who knows one transaction. Nobody, where there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    id: u64,
    places: Places,
}

/// See the module. Each transaction's row is where its id says; a newer one takes the place of an
/// older one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knowers {
    rows: Vec<Row>,
    filled: u32,
    taken: Places,
}

impl Knowers {
    /// A place for a new connection, if one is left.
    pub(super) fn take_place(&mut self) -> Option<Place> {
        let word = self.taken.0.iter().position(|taken| *taken != u64::MAX)?;
        let bit = self.taken.0[word].trailing_ones();
        let free = Place(word as u8 * 64 + bit as u8);
        self.taken.set(free, true);
        Some(free)
    }

    /// The connection is gone; who gets its place knows nothing.
    pub(super) fn give_back(&mut self, place: Place) {
        self.taken.set(place, false);
        let rows = self.rows.iter_mut();
        rows.for_each(|row| row.places.set(place, false));
    }

    /// Whether a connection is known to know a transaction.
    pub(super) fn knows(&self, place: Option<Place>, id: u64) -> bool {
        let Some(place) = place.filter(|_| !self.rows.is_empty()) else {
            return false;
        };
        let row = &self.rows[self.row(id)];
        row.id == id && row.places.has(place)
    }

    /// A connection told of a transaction, or was told.
    pub(super) fn note(&mut self, place: Option<Place>, id: u64) {
        let Some(place) = place else { return };
        if self.filled as usize * 2 >= self.rows.len() && self.rows.len() < ROWS_MAX {
            self.grow();
        }
        let at = self.row(id);
        if self.rows[at].id != id {
            self.put(Row {
                id,
                places: Places::default(),
            });
        }
        self.rows[at].places.set(place, true);
    }

    fn put(&mut self, row: Row) {
        let at = self.row(row.id);
        self.filled += u32::from(self.rows[at].places == Places::default());
        self.rows[at] = row;
    }

    fn grow(&mut self) {
        let larger = (self.rows.len() * 2).clamp(ROWS_MIN, ROWS_MAX);
        let old = std::mem::replace(&mut self.rows, vec![Row::default(); larger]);
        self.filled = 0;
        old.into_iter()
            .filter(|row| row.places != Places::default())
            .for_each(|row| self.put(row));
    }

    fn row(&self, id: u64) -> usize {
        (id as usize) & (self.rows.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads small numbers as a keyed hash would.
    fn id(n: u64) -> u64 {
        (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
    }

    #[test]
    fn each_connection_knows_what_it_was_told() {
        let mut knowers = Knowers::default();
        let places: Vec<_> = (0..130).map(|_| knowers.take_place()).collect();
        assert_eq!(places[127], Some(Place(127)));
        assert_eq!(places[128..], [None, None], "no place is left");
        assert!(!knowers.knows(places[0], id(0)));
        for n in 0..100 {
            knowers.note(places[n as usize], id(n));
            knowers.note(places[(n + 1) as usize], id(n));
            assert!(knowers.knows(places[n as usize], id(n)));
            assert!(knowers.knows(places[(n + 1) as usize], id(n)));
            assert!(!knowers.knows(places[(n + 2) as usize], id(n)));
        }
        knowers.note(None, id(7));
        assert!(!knowers.knows(None, id(7)));
        let kept = (0..100).filter(|n| knowers.knows(places[*n as usize], id(*n)));
        assert!(kept.count() > 70);
    }

    #[test]
    fn a_place_is_given_away_empty() {
        let mut knowers = Knowers::default();
        let (one, other) = (knowers.take_place(), knowers.take_place());
        knowers.note(one, id(3));
        knowers.note(other, id(3));
        knowers.give_back(Place(0));
        assert_eq!(knowers.take_place(), one);
        assert!(!knowers.knows(one, id(3)));
        assert!(knowers.knows(other, id(3)));
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let mut knowers = Knowers::default();
        let place = knowers.take_place();
        (0..100_000).for_each(|n| knowers.note(place, id(n)));
        assert_eq!(knowers.rows.len(), ROWS_MAX);
        assert!(knowers.knows(place, id(99_999)));
    }
}

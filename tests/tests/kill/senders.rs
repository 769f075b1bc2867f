//! Senders on threads of their own, as SDKs are: what was not acknowledged with 200 is sent again, the same bytes, until it is.
//!
//! They know what was acknowledged, and nothing else: that is what the engine owes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::people::{Batch, Dice, People};
use crate::process::{Line, PATIENCE};

/// Threads that send.
pub(crate) const SENDERS: u64 = 4;
/// How long a sender waits before it tries again: shorter than an SDK would, so that a start is met by all at once.
const PAUSE: Duration = Duration::from_millis(15);

/// What was sent, and what came of it.
#[derive(Clone, Default)]
pub(crate) struct Told {
    /// Message ids of events that were acknowledged.
    pub(crate) acknowledged: BTreeSet<String>,
    /// Calls without an identity that were acknowledged: each is at least one dead letter.
    pub(crate) refused_acknowledged: u64,
    /// Calls without an identity that were sent, each try counted: there are at most so many dead letters.
    pub(crate) refused_sent: u64,
    /// Requests that were acknowledged.
    pub(crate) requests: u64,
    /// Tries that came to nothing.
    pub(crate) tries_lost: u64,
    /// An answer that no sender should get.
    pub(crate) complaint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Send.
    Send,
    /// Send what is not acknowledged yet, then wait.
    Rest,
    /// Leave at once.
    Leave,
}

struct Board {
    told: Told,
    order: Order,
    resting: u64,
    address: Option<SocketAddr>,
}

/// All senders.
pub(crate) struct Senders {
    shared: Arc<(Mutex<Board>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

/// What a sender sees of the others.
#[derive(Clone)]
struct Sender {
    shared: Arc<(Mutex<Board>, Condvar)>,
    people: People,
    key: String,
}

impl Senders {
    /// Starts them; they send as soon as there is an engine.
    pub(crate) fn start(people: People, key: &str) -> Senders {
        let board = Board { told: Told::default(), order: Order::Send, resting: 0, address: None };
        let shared = Arc::new((Mutex::new(board), Condvar::new()));
        let sender = Sender { shared: shared.clone(), people, key: key.to_owned() };
        let start = |number| {
            let sender = sender.clone();
            std::thread::spawn(move || sender.work(number))
        };
        Senders { shared, threads: (0..SENDERS).map(start).collect() }
    }

    /// Where the engine listens; none while there is none.
    pub(crate) fn point_at(&self, address: Option<SocketAddr>) {
        lock(&self.shared.0).address = address;
    }

    /// Lets everything be acknowledged that was sent, and holds the senders there: what they know then.
    pub(crate) fn rest(&self) -> Result<Told, String> {
        let (board, changed) = &*self.shared;
        let mut board = lock(board);
        board.order = Order::Rest;
        let waits = |board: &mut Board| board.resting < SENDERS && board.told.complaint.is_none();
        let (board, timeout) = changed.wait_timeout_while(board, PATIENCE, waits).unwrap_or_else(PoisonError::into_inner);
        match &board.told.complaint {
            Some(complaint) => Err(complaint.clone()),
            None if timeout.timed_out() => Err(format!("what was sent is not acknowledged after {} s", PATIENCE.as_secs())),
            None => Ok(board.told.clone()),
        }
    }

    /// Lets them send again.
    pub(crate) fn send(&self) {
        let mut board = lock(&self.shared.0);
        (board.order, board.resting) = (Order::Send, 0);
        self.shared.1.notify_all();
    }

    /// Has a batch acknowledged by the engine that runs now.
    pub(crate) fn say(&self, people: People, key: &str, batch: &Batch) -> Result<(), String> {
        let sender = Sender { shared: self.shared.clone(), people, key: key.to_owned() };
        sender.deliver(batch, &mut None, PATIENCE);
        let told = lock(&self.shared.0).told.clone();
        match told.complaint {
            Some(complaint) => Err(complaint),
            None if !batch.ids.is_subset(&told.acknowledged) => Err("the last word is not acknowledged".into()),
            None => Ok(()),
        }
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        lock(&self.shared.0).order = Order::Leave;
        self.shared.1.notify_all();
        for thread in self.threads.drain(..) {
            // One that panicked has made the run fail already: nothing more is acknowledged.
            let _ = thread.join();
        }
    }
}

impl Sender {
    fn work(&self, sender: u64) {
        let mut line = None;
        for number in 0.. {
            let batch = self.people.batch(sender, number, SENDERS);
            self.deliver(&batch, &mut line, 2 * PATIENCE);
            if !self.goes_on() {
                return;
            }
            // Mostly a steady stream, now and then a burst.
            let pause = Dice::of(self.people.seed, &[3, sender, number]).below(60);
            std::thread::sleep(Duration::from_millis(pause.saturating_sub(15)));
        }
    }

    /// Rests where it is told to. False where it is told to leave.
    fn goes_on(&self) -> bool {
        let (board, changed) = &*self.shared;
        let mut board = lock(board);
        if board.order == Order::Rest {
            board.resting += 1;
            changed.notify_all();
            board = changed.wait_while(board, |board| board.order == Order::Rest).unwrap_or_else(PoisonError::into_inner);
        }
        board.order != Order::Leave
    }

    /// Sends a batch until it is acknowledged. Patience is with an engine: while there is none, nothing is late.
    fn deliver(&self, batch: &Batch, line: &mut Option<(SocketAddr, Line)>, patience: Duration) {
        let mut until = Instant::now() + patience;
        loop {
            let address = {
                let mut board = lock(&self.shared.0);
                if Instant::now() > until {
                    board.told.complaint.get_or_insert_with(|| "a batch was never acknowledged".into());
                    self.shared.1.notify_all();
                }
                if board.order == Order::Leave || board.told.complaint.is_some() {
                    return;
                }
                board.told.refused_sent += if board.address.is_some() { batch.refused } else { 0 };
                board.address
            };
            let Some(address) = address else {
                std::thread::sleep(PAUSE);
                until = Instant::now() + patience;
                continue;
            };
            // A connection to an engine that was killed is of no use, nor is one that broke off.
            let kept = line.take().filter(|(to, _)| *to == address).map(|(_, line)| line);
            let ready = kept.or_else(|| Line::to(address).ok());
            let answered = ready.and_then(|mut line| line.post(&self.key, &batch.body).ok().map(|status| (status, line)));
            let mut board = lock(&self.shared.0);
            match answered {
                Some((200, ready)) => {
                    board.told.acknowledged.extend(batch.ids.iter().cloned());
                    board.told.refused_acknowledged += batch.refused;
                    board.told.requests += 1;
                    *line = Some((address, ready));
                    return;
                }
                Some((503 | 429, _)) | None => board.told.tries_lost += 1,
                Some((status, _)) => drop(board.told.complaint.get_or_insert(format!("a good batch was answered with {status}"))),
            }
            drop(board);
            std::thread::sleep(PAUSE);
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A child process and its three streams.

use std::collections::VecDeque;
use std::io::{BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::abi::system;
use crate::wire::{self, Incoming};

/// How much of a candidate's log is kept for messages, bytes.
const LOG: usize = 4096;

/// Data that a first message may have, bytes: none is needed, some makes for a better complaint.
const GREETING: u64 = 1 << 20;

/// How long a child that closed its stdout may take to exit.
const GRACE: Duration = Duration::from_secs(2);

/// What came instead of a message.
#[derive(Debug)]
pub(super) enum Loss {
    /// Nothing, for too long.
    Silence,
    /// The end of the stream.
    End,
    /// Bytes that are no message.
    Broken(wire::Error),
}

/// A running child. Dropping it kills its whole process group.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
    /// `None` once stdin is to be closed.
    outbox: Option<Sender<Vec<u8>>>,
    inbox: Receiver<Result<Incoming, Loss>>,
    limit: Arc<AtomicU64>,
    log: Log,
    ended: bool,
}

impl Peer {
    /// Starts `command` in a process group of its own.
    pub(super) fn start(command: &[String]) -> std::io::Result<Self> {
        let (program, args) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let piped = "the three streams were asked for as pipes";
        let (stdin, stdout) = (child.stdin.take().expect(piped), child.stdout.take().expect(piped));
        let log = Log::follow(child.stderr.take().expect(piped));
        let limit = Arc::new(AtomicU64::new(GREETING));
        let (outbox, letters) = channel();
        // one message in hand and one waiting: a child that floods its stdout is held back by the pipe
        let (sender, inbox) = sync_channel(1);
        thread::spawn(move || post(stdin, &letters));
        let shared = Arc::clone(&limit);
        thread::spawn(move || collect(stdout, &shared, &sender));
        Ok(Self { child, outbox: Some(outbox), inbox, limit, log, ended: false })
    }

    /// Sends a message; from now on an answer may have `limit` bytes of data.
    pub(super) fn send(&self, message: Vec<u8>, limit: u64) {
        self.limit.store(limit, Ordering::Release);
        // a child that is gone shows in what it does not answer
        if let Some(outbox) = &self.outbox {
            _ = outbox.send(message);
        }
    }

    /// The next message before `deadline`.
    pub(super) fn receive(&self, deadline: Instant) -> Result<Incoming, Loss> {
        match self.inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Err(Loss::Silence),
            Err(RecvTimeoutError::Disconnected) => Err(Loss::End),
        }
    }

    /// What has come without being asked for.
    pub(super) fn unasked(&self) -> Option<Result<Incoming, Loss>> {
        match self.inbox.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(Loss::End)),
        }
    }

    /// The exit status, if the child exits by itself soon.
    pub(super) fn exit(&mut self) -> Option<ExitStatus> {
        let (start, mut pause) = (Instant::now(), Duration::from_millis(1));
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < GRACE => thread::sleep(pause),
                Ok(None) | Err(_) => return None,
            }
            pause = (2 * pause).min(Duration::from_millis(50));
        }
    }

    /// Kills the group and gives the end of its log.
    pub(super) fn kill(&mut self) -> String {
        if !self.ended {
            self.ended = true;
            system::kill_group(self.child.id());
            // reaps it; a child that hangs in a driver is left to the system
            self.exit();
        }
        self.log.tail()
    }

    /// Says goodbye, closes stdin and lets the child exit.
    pub(super) fn dismiss(&mut self) {
        self.send(wire::encode(&wire::Message::Bye, None), 0);
        self.outbox = None;
        let deadline = Instant::now() + GRACE;
        while !matches!(self.receive(deadline), Err(Loss::End | Loss::Silence)) {}
        if Instant::now() < deadline {
            self.exit();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

/// `status` in words.
pub(super) fn describe(status: Option<ExitStatus>) -> String {
    match status.map(|s| (s.signal(), s.code())) {
        Some((Some(signal), _)) => match name(signal) {
            Some(name) => format!("died by signal {name} ({signal})"),
            None => format!("died by signal {signal}"),
        },
        Some((None, Some(code))) => format!("exited with status {code}"),
        _ => "closed its stdout without exiting".to_owned(),
    }
}

const fn name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

fn post(mut stdin: ChildStdin, letters: &Receiver<Vec<u8>>) {
    for letter in letters {
        if stdin.write_all(&letter).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn collect(stdout: ChildStdout, limit: &AtomicU64, inbox: &SyncSender<Result<Incoming, Loss>>) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let event = match wire::read(&mut stdout, || limit.load(Ordering::Acquire)) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(Loss::End),
            Err(e) => Err(Loss::Broken(e)),
        };
        let last = event.is_err();
        if inbox.send(event).is_err() || last {
            return;
        }
    }
}

/// The end of a child's stderr.
#[derive(Debug)]
struct Log {
    tail: Arc<Mutex<VecDeque<u8>>>,
    finished: Receiver<()>,
}

impl Log {
    fn follow(mut stderr: ChildStderr) -> Self {
        let tail = Arc::new(Mutex::new(VecDeque::with_capacity(2 * LOG)));
        let (open, finished) = channel();
        let shared = Arc::clone(&tail);
        thread::spawn(move || {
            let mut chunk = [0; LOG];
            while let Ok(n @ 1..) = stderr.read(&mut chunk) {
                let mut tail = shared.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend(&chunk[..n]);
                let surplus = tail.len().saturating_sub(LOG);
                tail.drain(..surplus);
            }
            drop(open);
        });
        Self { tail, finished }
    }

    /// What was written last, once the writers are gone.
    fn tail(&self) -> String {
        // bounded: a process that left the group may hold the stream open
        _ = self.finished.recv_timeout(Duration::from_millis(500));
        let bytes: Vec<u8> = self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

//! Which of the node's processes stand still, as the kernel says.

use crate::proc::{self, Stat};
use crate::supervisor::{Census, Pid};

/// A process that lives.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: Pid,
    parent: Pid,
    /// Bytes of its address space.
    memory: u64,
    /// Threads in which no signal stops anything for now, such as one that has made a child with `vfork`: it
    /// waits until that has become its program or has ended.
    waiting: usize,
    /// Threads that neither wait so nor are stopped.
    moving: usize,
}

/// Counts every process of this PID namespace but PID 1, which is the gate, and those of these
/// process groups, which are the gate's helpers.
pub fn count(helpers: &[Pid]) -> Census {
    let processes = proc::processes().filter_map(|pid| look_at(pid, helpers));
    tally(&processes.collect::<Vec<Process>>())
}

/// A process, if it lives and is the node's own.
fn look_at(pid: Pid, helpers: &[Pid]) -> Option<Process> {
    let threads = proc::threads(pid).filter_map(|(_, folder)| Stat::of(&folder));
    // The first thread may have ended, and then has no memory.
    let living: Vec<Stat> = threads
        .filter(|thread| !matches!(thread.state, 'Z' | 'X'))
        .collect();
    let any = living.first()?;
    if helpers.contains(&any.group) {
        return None;
    }
    let in_state = |states: &[char]| {
        living
            .iter()
            .filter(|it| states.contains(&it.state))
            .count()
    };
    let (stopped, waiting) = (in_state(&['T', 't']), in_state(&['D']));
    Some(Process {
        pid,
        parent: any.parent,
        memory: any.memory,
        waiting,
        moving: living.len() - stopped - waiting,
    })
}

/// A process stands still when all its threads are stopped, or wait for a child that is: one with whom they
/// share their memory, by which a child of `vfork` is known.
fn tally(processes: &[Process]) -> Census {
    let mut census = Census::default();
    for process in processes {
        let is_waited_for = |child: &&Process| {
            child.parent == process.pid && child.memory == process.memory && child.moving == 0
        };
        let stopped = processes.iter().filter(is_waited_for).count();
        if process.moving == 0 && process.waiting <= stopped {
            census.still += 1;
        } else {
            census.moving += 1;
        }
    }
    census
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_stopped_child_in_the_same_memory_stands_still() {
        let stopped = |pid, parent, memory| Process {
            pid,
            parent,
            memory,
            waiting: 0,
            moving: 0,
        };
        let waits = |threads| Process {
            waiting: threads,
            ..stopped(2, 1, 100)
        };
        let of = |processes: &[Process]| {
            let Census { still, moving } = tally(processes);
            (still, moving)
        };
        assert_eq!(of(&[stopped(2, 1, 100), stopped(3, 2, 100)]), (2, 0));
        assert_eq!(of(&[waits(1), stopped(3, 2, 100)]), (2, 0));
        assert_eq!(of(&[waits(1)]), (0, 1), "for a disk");
        assert_eq!(of(&[waits(1), stopped(3, 2, 90)]), (1, 1), "a plain child");
        assert_eq!(of(&[waits(1), stopped(3, 1, 100)]), (1, 1), "another's");
        assert_eq!(of(&[waits(2), stopped(3, 2, 100)]), (1, 1), "one for two");
        let runs = Process {
            moving: 1,
            ..stopped(3, 2, 100)
        };
        assert_eq!(of(&[waits(1), runs]), (0, 2));
        // A child that has a child in its turn.
        let between = Process {
            waiting: 1,
            ..stopped(3, 2, 100)
        };
        assert_eq!(of(&[waits(1), between, stopped(4, 3, 100)]), (3, 0));
    }
}

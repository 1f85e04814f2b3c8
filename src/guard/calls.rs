//! Calls by seccomp.

use super::Fence;

/// Installs the filter for all threads.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub fn install() -> Fence {
    match filter::install() {
        Ok(()) => Fence::Whole,
        Err(cause) => Fence::Missing(cause),
    }
}

/// seccompiler knows 64-bit processors only.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn install() -> Fence {
    Fence::Missing("not on this kind of processor".to_owned())
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod filter {
    use seccompiler::SeccompCmpArgLen::Dword;
    use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule,
        apply_filter_all_threads,
    };
    use std::collections::BTreeMap;

    /// Where the C library's crate does not know it.
    const KEXEC_FILE_LOAD: i64 = if cfg!(target_arch = "x86_64") { 320 } else { 294 };
    const FCHMODAT2: i64 = 452;

    /// What segcam never calls.
    const DENIED: &[i64] = &[
        // Another program in its place.
        libc::SYS_execve,
        libc::SYS_execveat,
        // Other processes' memory and files.
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        // Calls past this filter, sockets among them.
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        // Programs for the kernel, and its own parts.
        libc::SYS_bpf,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        KEXEC_FILE_LOAD,
        libc::SYS_reboot,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_syslog,
        // Another view of the files, or a way around the rules for them.
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_open_by_handle_at,
        libc::SYS_fanotify_init,
        libc::SYS_quotactl,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        // Changes of files that Landlock does not see, or not on all kernels.
        libc::SYS_truncate,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        FCHMODAT2,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chmod,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_chown,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_lchown,
        // Other namespaces, users and owners.
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        // The machine's clock and name.
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_iopl,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_ioperm,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_modify_ldt,
    ];

    /// TIOCSTI and TIOCLINUX, which type what others read from a terminal (ioctl_tty(2)).
    const TYPING: [u64; 2] = [0x5412, 0x541c];

    /// A clone in another namespace (clone(2)).
    const NAMESPACES: [i32; 7] = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];

    type Rules = BTreeMap<i64, Vec<SeccompRule>>;

    pub fn install() -> Result<(), String> {
        // Its flags are out of a filter's sight; C libraries that do not find it take clone.
        let hidden = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        for (rules, error) in [(Ok(hidden), libc::ENOSYS), (rules(), libc::EPERM)] {
            let program = rules.and_then(|rules| program(rules, error));
            let program = program.map_err(|error| error.to_string())?;
            apply_filter_all_threads(&program).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Calls, and the arguments they are denied with; all if none.
    fn rules() -> Result<Rules, BackendError> {
        let condition = SeccompCondition::new;
        // All families but the local one: AF_INET, AF_INET6, AF_PACKET, AF_NETLINK, AF_VSOCK …
        let sockets = || SeccompRule::new(vec![condition(0, Dword, Ne, libc::AF_UNIX as u64)?]);
        let typing = |request| SeccompRule::new(vec![condition(1, Dword, Eq, request)?]);
        let namespace = |flag: i32| {
            let flag = flag as u64;
            SeccompRule::new(vec![condition(0, Dword, MaskedEq(flag), flag)?])
        };
        let mut rules = Rules::from([
            (libc::SYS_socket, vec![sockets()?]),
            (libc::SYS_socketpair, vec![sockets()?]),
            (libc::SYS_ioctl, TYPING.into_iter().map(typing).collect::<Result<_, _>>()?),
            (libc::SYS_clone, NAMESPACES.into_iter().map(namespace).collect::<Result<_, _>>()?),
        ]);
        rules.extend(DENIED.iter().map(|call| (*call, Vec::new())));
        Ok(rules)
    }

    fn program(mut rules: Rules, error: i32) -> Result<BpfProgram, BackendError> {
        if cfg!(target_arch = "x86_64") {
            // The same calls under the numbers of the x32 ABI.
            let x32 = |(call, rules): (&i64, &Vec<_>)| (call | 0x4000_0000, Vec::clone(rules));
            rules.extend(rules.clone().iter().map(x32));
        }
        let denied = SeccompAction::Errno(error as u32);
        let target = std::env::consts::ARCH.try_into()?;
        SeccompFilter::new(rules, SeccompAction::Allow, denied, target)?.try_into()
    }
}

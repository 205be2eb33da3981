//! Leaves the network: from here on this process and its children have a loopback of their own and nothing else.
//!
//! Linux only, by a network namespace; without rights for that one, by a user namespace around it, in which the user stays who
//! it is. A process can do this before it has a second thread, so it is the first thing that a process for this purpose does.

use std::io;

/// Leaves the network and brings loopback up. An error says that the system does not allow it, and nothing has changed.
#[cfg(target_os = "linux")]
pub fn leave() -> io::Result<()> {
    use nix::sched::{CloneFlags, unshare};
    use std::fs;
    let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_ok() {
        // user_namespaces(7): without this, a process without rights cannot map its group.
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    } else {
        unshare(CloneFlags::CLONE_NEWNET)?;
    }
    loopback_up()
}

/// There is no such thing here.
#[cfg(not(target_os = "linux"))]
pub fn leave() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Tells the kernel to bring interface 1 up, which is loopback in every namespace (rtnetlink(7)).
#[cfg(target_os = "linux")]
fn loopback_up() -> io::Result<()> {
    use nix::sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
    };
    use std::os::fd::AsRawFd;
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    const LOOPBACK: i32 = 1;
    const LEN: u32 = 16 + 16;
    let mut message = Vec::new();
    // nlmsghdr: length, type, flags, sequence, port.
    message.extend(LEN.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    // ifinfomsg: family and type, index, flags, which of them are meant.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    sendto(netlink.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 512];
    let len = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // The acknowledgement is an error message with a number, 0 for none.
    let number =
        answer.get(16..20).filter(|_| len >= 20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match number {
        Some(0) => Ok(()),
        Some(number) => Err(io::Error::from_raw_os_error(-number)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

import Glibc

/// One end of a pair of sockets between two processes that keeps messages apart and carries descriptors.
package struct DescriptorChannel: Sendable {
    package let descriptor: CInt

    package init(descriptor: CInt) { self.descriptor = descriptor }

    package static func pair() throws(SystemFailure) -> (DescriptorChannel, DescriptorChannel) {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw SystemFailure("socketpair")
        }
        return (DescriptorChannel(descriptor: ends[0]), DescriptorChannel(descriptor: ends[1]))
    }

    /// `receive` and `send` give up after this long; 0: never.
    package func limitWaiting(seconds: Int, sending: Int? = nil) throws(SystemFailure) {
        for (option, seconds) in [(SO_RCVTIMEO, seconds), (SO_SNDTIMEO, sending ?? seconds)] {
            var limit = timeval(tv_sec: seconds, tv_usec: 0)
            guard setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size)) == 0
            else { throw SystemFailure("setting a time limit") }
        }
    }

    /// The header of one ancillary message with one descriptor: `struct cmsghdr`, then the number, padded.
    private struct Ancillary {
        var length = 20  // CMSG_LEN of one descriptor
        var level = SOL_SOCKET
        var type: CInt = 1  // SCM_RIGHTS
        var descriptor: CInt = -1
        /// There is room for a second one, since the kernel counts in words: nobody sends it but who means harm.
        var second: CInt = -1

        static var lengthOfTwo: Int { 24 }
    }

    /// Sends one message, with a copy of `passed` when there is one.
    package func send(_ message: [UInt8], passing passed: CInt? = nil) throws(SystemFailure) {
        var ancillary = Ancillary()
        ancillary.descriptor = passed ?? -1
        let sent = exchange(message.count, message, passed == nil ? nil : ancillary) { header in
            retrying { sendmsg(descriptor, &header, CInt(MSG_NOSIGNAL)) }
        }
        guard sent.count == message.count else { throw SystemFailure("sending to the other process") }
    }

    /// The next message, at most `bytes` and one more, so that one that is too long shows; empty when the other end
    /// is gone. Descriptors are taken only where `takesDescriptor`, and dropped by the kernel otherwise.
    package func receive(
        _ bytes: Int, takesDescriptor: Bool = false
    ) throws(SystemFailure) -> (message: [UInt8], passed: CInt?) {
        let space = [UInt8](repeating: 0, count: bytes + 1)
        // MSG_CMSG_CLOEXEC
        let got = exchange(space.count, space, takesDescriptor ? Ancillary() : nil) { header in
            retrying { recvmsg(descriptor, &header, 0x4000_0000) }
        }
        if got.count < 0, errno == ECONNRESET { return ([], nil) }
        guard got.count >= 0 else { throw SystemFailure("receiving from the other process") }
        return (Array(got.bytes.prefix(got.count)), got.passed)
    }

    private func retrying(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if result >= 0 || errno != EINTR { return result }
        }
    }

    private func exchange(
        _ count: Int, _ bytes: [UInt8], _ ancillary: Ancillary?, _ call: (inout msghdr) -> Int
    ) -> (count: Int, bytes: [UInt8], passed: CInt?) {
        var (bytes, space) = (bytes, ancillary ?? Ancillary())
        var (result, controlBytes) = (-1, 0)
        bytes.withUnsafeMutableBytes { buffer in
            var piece = iovec(iov_base: buffer.baseAddress, iov_len: count)
            withUnsafeMutablePointer(to: &piece) { pieces in
                withUnsafeMutableBytes(of: &space) { control in
                    var header = msghdr()
                    header.msg_iov = pieces
                    header.msg_iovlen = 1
                    if ancillary != nil {
                        header.msg_control = control.baseAddress
                        header.msg_controllen = control.count
                    }
                    result = call(&header)
                    controlBytes = header.msg_controllen
                }
            }
        }
        let isPassed = result >= 0 && ancillary != nil && controlBytes >= space.length && space.type == 1
        guard isPassed, space.length >= Ancillary.lengthOfTwo else {
            return (result, bytes, isPassed ? space.descriptor : nil)
        }
        close(space.descriptor)
        close(space.second)
        return (result, bytes, nil)
    }
}

import Glibc
package import Streams
package import Wire

/// A TCP socket that is bound and listens, before any thread is there: its port may need rights that are given up then.
/// An agent that succeeds another listens where that one does (SO_REUSEPORT).
package struct ListeningSocket: Sendable {
    package let descriptor: CInt
    /// How frames follow one another there.
    package let kind: StreamKind

    package init(_ endpoint: Endpoint, _ kind: StreamKind) throws(SystemFailure) {
        let family = endpoint.address.isV4 ? AF_INET : AF_INET6
        descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        self.kind = kind
        guard descriptor >= 0 else { throw SystemFailure("socket") }
        do {
            if !endpoint.address.isV4 { try setOption(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1, "IPV6_V6ONLY") }
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
            try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT")
        } catch {
            close(descriptor)
            throw error
        }
        guard endpoint.withSocketAddress({ bind(descriptor, $0, $1) }) == 0, listen(descriptor, 64) == 0 else {
            let failure = SystemFailure("listening on TCP \(endpoint)")
            close(descriptor)
            throw failure
        }
    }
}

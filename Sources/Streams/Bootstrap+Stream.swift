internal import NIOCore
internal import NIOPosix

// What all sockets of channels are set to.

/// TCP_USER_TIMEOUT, which NIO has no name for.
private let userTimeout = NIOBSDSocket.Option(rawValue: 18)
/// The kernel's part of what one connection may occupy, bytes.
private let kernelBuffer = 131_072

extension ClientBootstrap {
    func streamOptions(_ bounds: StreamBounds) -> ClientBootstrap {
        channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_sndbuf), value: kernelBuffer)
            .channelOption(.tcpOption(userTimeout), value: Int(clamping: bounds.silenceMicroseconds / 1_000))
    }
}

extension ServerBootstrap {
    func streamOptions(_ bounds: StreamBounds) -> ServerBootstrap {
        childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_sndbuf), value: kernelBuffer)
            .childChannelOption(.tcpOption(userTimeout), value: Int(clamping: bounds.silenceMicroseconds / 1_000))
    }
}

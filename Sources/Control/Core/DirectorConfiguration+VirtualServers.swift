public import Wire

extension DirectorConfiguration {
    /// An address and port of the director's own, and the origins behind it.
    public struct VirtualServer: Sendable, Equatable {
        public var name: String
        public var address: Endpoint
        public var origins: [Origin] = []
        /// Bytes that a client may send before anybody has taken its connection over.
        public var window: UInt16 = 14_600
        /// Of IPv4; of IPv6 it is 20 bytes less.
        public var maximumSegment: UInt16 = 1_460
        /// What the origins' TCP does.
        public var options: TCPOptions = .all
        public var check = Check()

        public init(name: String, address: Endpoint) {
            self.name = name
            self.address = address
        }
    }

    public struct Origin: Sendable, Equatable {
        public var name: String
        public var address: Endpoint
        /// nil: what the kernel knows after a successful check.
        public var mac: MACAddress?

        public init(name: String, address: Endpoint) {
            self.name = name
            self.address = address
        }
    }

    /// Options that a SYN/ACK may promise.
    public struct TCPOptions: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        public static var windowScale: TCPOptions { .init(rawValue: 1) }
        public static var sack: TCPOptions { .init(rawValue: 2) }
        public static var timestamps: TCPOptions { .init(rawValue: 4) }
        public static var all: TCPOptions { [.windowScale, .sack, .timestamps] }
    }

    /// How it is found out whether an origin is up: whether it takes a TCP connection.
    public struct Check: Sendable, Equatable {
        /// 0: not at all, and it counts as up.
        public var intervalMicroseconds: UInt64 = 2_000_000
        public var timeoutMicroseconds: UInt64 = 1_000_000
        /// Successes in a row that bring an origin up, failures in a row that take it down.
        public var rise = 2
        public var fall = 3
        public init() {}

        public var isOff: Bool { intervalMicroseconds == 0 }
    }

    /// All origins of all virtual servers, in the order of their places; of a forwarder, its classifiers.
    public var originCount: Int { virtualServers.reduce(0) { $0 + $1.origins.count } + classifiers.count }
}

import CRTP
import Control
import InterCore
import StrictYAML
import Wire

extension YAMLKind<String> {
    /// The name of a thing: it appears in logs, tables and command lines.
    static var name: YAMLKind {
        .text("a name of letters, digits, '.', '_' and '-', at most 63 of them") { text in
            let isWord = text.utf8.allSatisfy { byte in
                let character = Character(UnicodeScalar(byte))
                return character.isASCII && (character.isLetter || character.isNumber || "._-".contains(character))
            }
            return isWord && (1...63).contains(text.utf8.count) ? text : nil
        }
    }

    /// A DPDK device with its arguments.
    static var device: YAMLKind {
        .text("a DPDK device such as net_af_xdp0,iface=eth1 or 0000:01:00.0") { text in
            text.isEmpty || text.hasPrefix(",") || text.contains(where: \.isWhitespace) ? nil : text
        }
    }

    /// A host pattern, in lower case.
    static var host: YAMLKind {
        .text("a host name such as www.example.org, or *.example.org for its subdomains") { text in
            let name = text.hasPrefix("*.") ? text.dropFirst(2) : Substring(text)
            let isName = name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
                case UInt8(ascii: "0")...UInt8(ascii: "9"): true
                case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"): true
                default: false
                }
            }
            // An IPv6 literal stands in brackets, as in a Host header.
            let isLiteral = text.hasPrefix("[") && text.hasSuffix("]") && IPAddress(text.dropFirst().dropLast()) != nil
            return !name.isEmpty && (isName || isLiteral) ? text.lowercased() : nil
        }
    }

    /// A name in a certificate.
    static var serverName: YAMLKind {
        .text("a DNS name such as p1.example.org") { text in
            let labels = text.split(separator: ".", omittingEmptySubsequences: false)
            let areGood = labels.allSatisfy { label in
                (1...63).contains(label.utf8.count)
                    && label.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
            }
            return areGood && text.utf8.count <= 253 && IPAddress(text) == nil ? text.lowercased() : nil
        }
    }

    /// A path pattern.
    static var path: YAMLKind {
        .text("a path such as /index.html, or /static/* for everything that begins so") { text in
            let isClean = text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
            return text.hasPrefix("/") && isClean && !text.dropLast().contains("*") ? text : nil
        }
    }

    /// An absolute path that fits a UNIX socket's address.
    static var socketPath: YAMLKind {
        .text("an absolute path of at most 103 bytes") { text in
            text.hasPrefix("/") && text.utf8.count <= 103 ? text : nil
        }
    }
}

extension YAMLKind<Endpoint> {
    static var endpoint: YAMLKind {
        .text("an address with a port, such as 10.0.0.1:7443 or '[2001:db8::1]:7443'") { Endpoint($0) }
    }
}

extension YAMLKind<Endpoint> {
    static var group: YAMLKind {
        .text("a multicast address with a port, such as 239.192.0.1:7443 or '[ff15::1]:7443'") { text in
            Endpoint(text).flatMap { $0.address.isMulticast && $0.port > 0 ? $0 : nil }
        }
    }
}

extension YAMLKind<AddressPrefix> {
    static var prefix: YAMLKind {
        .text("a prefix such as 10.0.0.0/8, 2001:db8::/32, an address alone, or any") { AddressPrefix($0) }
    }
}

extension YAMLKind<MACAddress> {
    static var mac: YAMLKind { .text("an Ethernet address such as '02:00:00:00:00:01'") { MACAddress($0) } }
}

extension YAMLKind<SelectionAlgorithm> {
    static var algorithm: YAMLKind {
        .choice([
            "round-robin": .roundRobin, "least-connections": .leastConnections, "least-load": .leastLoad,
            "most-load": .mostLoad, "application-hash": .applicationHash, "enforced": .enforced,
            "two-choices": .twoChoices, "multicast": .multicast,
        ])
    }
}

extension YAMLKind<DirectorConfiguration.Transport> {
    static var transport: YAMLKind { .choice(["udp": .udp, "tcp": .tcp, "tls": .tls, "http": .http]) }
}

extension YAMLKind<Protection> {
    static var protection: YAMLKind { .choice(["sealed": .sealed, "authenticated": .authenticated]) }
}

extension YAMLKind<DirectorConfiguration.Way> {
    static var way: YAMLKind { .choice(["kernel": .kernel, "server-port": .serverPort]) }
}

extension YAMLKind<Application> {
    static var application: YAMLKind {
        .choice([
            "http-get": .httpGet, "http-any": [.httpGet, .httpOther], "tls": .tls, "smtp": .smtp, "dns": .dns,
            "quic": .quic,
        ])
    }
}

extension YAMLKind<ALPN> {
    static var alpn: YAMLKind { .choice(["http/1.1": .http11, "h2": .http2, "h3": .http3]) }
}

extension YAMLKind<UInt16> {
    /// 0 for none, or what a TCP can live with.
    static var segment: YAMLKind {
        .integer(in: 0...9_216).map { $0 == 0 || $0 >= 536 ? $0 : nil }
    }
}

extension YAMLKind<ClosedRange<UInt16>> {
    /// A TCP port or a range of them.
    static var ports: YAMLKind {
        .text("a port between 1 and 65535, or a range such as 8000-8099") { text in
            let parts = text.split(separator: "-", omittingEmptySubsequences: false)
            guard let first = UInt16(parts[0]), first > 0, parts.count <= 2 else { return nil }
            if parts.count == 1 { return first...first }
            guard let last = UInt16(parts[1]), last >= first else { return nil }
            return first...last
        }
    }
}

extension YAMLKind<RuleMode> {
    static var mode: YAMLKind {
        .text("one of off, observe, 'canary N%' (N between 0 and 100), on") { text in
            switch text {
            case "off": return .off
            case "observe": return .observe
            case "on": return .on
            default:
                let words = text.split(separator: " ")
                guard words.count == 2, words[0] == "canary", words[1].hasSuffix("%"),
                    let percent = UInt8(words[1].dropLast()), percent <= 100
                else { return nil }
                return .canary(percent: percent)
            }
        }
    }
}

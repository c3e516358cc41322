internal import StrictYAML
internal import Wire

extension DecapsulationSettings {
    static func read(_ section: YAMLSection) -> DecapsulationSettings? {
        let kind = section.required("kind", .choice(["ipip": Encapsulation.Kind.ipip, "gue": .gue, "vxlan": .vxlan]))
        let addresses = section.required("addresses", .list(of: .hostAddress, minimum: 1))
        let network = section.optional("vni", .integer(in: UInt32(0)...16_777_215))
        let device = section.optional("device", .device)
        guard let kind, let addresses else { return nil }
        if kind == .vxlan, network == nil {
            section.report(
                "VXLAN needs the identifier of its network", remedy: "add vni: with the number that the directors have",
                at: "kind")
        } else if kind != .vxlan, network != nil {
            section.report("'vni' is VXLAN's, and 'kind' is \(kind)", remedy: "take 'vni' away", at: "vni")
        }
        var settings = DecapsulationSettings(kind, at: addresses)
        settings.network = network ?? 0
        settings.device = device ?? settings.device
        return settings
    }
}

extension YAMLKind<IPAddress> {
    static var hostAddress: YAMLKind {
        .text("an address of this host, such as 10.0.0.11 or '2001:db8::11'") { text in
            IPAddress(text).flatMap { $0.isMulticast || $0 == .unspecified ? nil : $0 }
        }
    }
}

extension YAMLKind<String> {
    /// What the kernel takes as an interface's name.
    static var device: YAMLKind {
        .text("a name of letters, digits, '.', '_' and '-', at most 15 of them") { text in
            let isName = text.utf8.allSatisfy { byte in
                let character = Character(UnicodeScalar(byte))
                return character.isASCII && (character.isLetter || character.isNumber || "._-".contains(character))
            }
            return isName && (1...15).contains(text.utf8.count) && text != "." && text != ".." ? text : nil
        }
    }
}

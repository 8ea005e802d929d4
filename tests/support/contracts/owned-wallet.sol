// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// Recovers who signed a hash; the zero address for anything but 65 bytes with a low s.
library Signer {
    uint256 private constant HALF_ORDER =
        0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    function recover(bytes32 hash, bytes calldata signature) internal pure returns (address) {
        if (signature.length != 65) return address(0);
        uint256 s = uint256(bytes32(signature[32:64]));
        if (s > HALF_ORDER) return address(0);
        return ecrecover(hash, uint8(signature[64]), bytes32(signature[0:32]), bytes32(s));
    }
}

/// A contract account with one owner, whose signature over a hash is the account's (ERC-1271).
contract OwnedWallet {
    address public owner;

    constructor(address firstOwner) {
        owner = firstOwner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        address signer = Signer.recover(hash, signature);
        return signer != address(0) && signer == owner ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    function changeOwner(address next) external {
        require(msg.sender == owner, "only the owner");
        owner = next;
    }
}

/// Deploys an OwnedWallet at an address that is known before (CREATE2), as ERC-6492 needs it.
contract WalletFactory {
    function deploy(address owner, bytes32 salt) external returns (address) {
        return address(new OwnedWallet{salt: salt}(owner));
    }

    function addressOf(address owner, bytes32 salt) external view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(type(OwnedWallet).creationCode, abi.encode(owner)));
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), salt, code));
        return address(uint160(uint256(hash)));
    }

    /// Succeeds, and no account is there afterwards.
    function deployNothing() external {}
}

/// What an ordinary account may delegate to (EIP-7702): it accepts the account's own key.
contract SelfOwnedWallet {
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return Signer.recover(hash, signature) == address(this)
            ? this.isValidSignature.selector
            : bytes4(0xffffffff);
    }
}

/// Takes the account's own signature plain, and wrapped in 20 bytes that name a validator, as smart wallets do.
contract WrappingWallet {
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        bytes calldata own = signature.length == 85 ? signature[20:] : signature;
        return Signer.recover(hash, own) == address(this)
            ? this.isValidSignature.selector
            : bytes4(0xffffffff);
    }
}

"""A class for each pixel: DeepLabV3, FCN, U-Net, Mask2Former."""
